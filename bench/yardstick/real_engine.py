"""Compares the real engine in the stream with the same engine offline, to show what the stream costs."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.lanes.job import Job
from bench.yardstick.ride import LaneError, Lanes
from bench.yardstick.seat import ROOT
from schemas import decode
from schemas.events import Message

OURS = "mimamori"
# A batch takes seconds here. Each look costs the broker and this process CPU time, which the engine needs.
LOOK_EVERY_S = 0.1


@dataclass
class RealEngine:
    """Messages a second by round. The two rates of a round are measured one right after the other.

    `stream_cpu` and `offline_cpu` are milliseconds of CPU time for one message, `beside` the number of cores
    that the broker and the observer used during the stream.
    """

    messages: int
    runs: str = ""
    reading: str = ""
    tokens_per_message: float = 0.0
    stream: list[float] = field(default_factory=list)
    offline: list[float] = field(default_factory=list)
    stream_cpu: list[float] = field(default_factory=list)
    offline_cpu: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    @property
    def tokens_per_s(self) -> float:
        """The tokens of messages that the engine alone reads a second."""
        return statistics.median(self.offline) * self.tokens_per_message

    @property
    def ratio(self) -> float:
        """The rate of the stream over the offline rate: the median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.stream, self.offline, strict=True))

    @property
    def cpu_ratio(self) -> float:
        """A message's CPU time offline over that in the stream: what the worker itself adds to the engine."""
        return statistics.median(a / b for a, b in zip(self.offline_cpu, self.stream_cpu, strict=True))


def compare(
    lanes: Lanes, topic: str, bundle: Path, values: list[bytes], rounds: int, say: Callable[[str], None]
) -> RealEngine:
    """In each round, the worker reads `topic`, which holds `values`, and then the engine reads their texts.

    Raises LaneError.
    """
    found = RealEngine(len(values))
    texts = [decode(Message, value).text for value in values]
    job = lanes.job(topic, bundle=str(bundle))
    path = Path(job.folder) / "texts.json"
    path.write_text(json.dumps(texts))
    for number in range(rounds):
        say(f"real engine, round {number + 1} of {rounds}")
        ride = lanes.ride(OURS, lanes.job(topic, bundle=str(bundle)), len(texts), 600, LOOK_EVERY_S)
        if ride.lost or ride.twice:
            raise LaneError(f"{ride.lost} lost, {ride.twice} twice with the real engine")
        found.stream.append(ride.rate)
        found.stream_cpu.append(ride.cpu_per_1000)  # seconds of 1,000 are milliseconds of one
        found.beside.append(ride.beside)
        offline = _offline(job, path)
        found.offline.append(offline["rate"])
        found.offline_cpu.append(offline["cpu_ms"])
        found.runs, found.reading = offline["runs"], offline["reading"]
        found.tokens_per_message = offline["tokens_per_message"]
    return found


def _offline(job: Job, texts: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.lanes.offline", job.bundle, str(texts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise LaneError(
            "the engine failed offline: " + (done.stderr.strip().splitlines() or ["no reason"])[-1]
        )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
