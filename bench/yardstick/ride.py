"""Runs one lane over one topic from its start, and measures its rate and CPU time."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

from bench.lanes.job import Job, Settings
from bench.yardstick.course import Course, cpu_seconds, cpu_seconds_beside
from bench.yardstick.seat import ROOT

LOOK_EVERY_S = 0.02
START_S = 60.0
_NUMBERS = count()


class Sample(NamedTuple):
    """One observation: `done`, the records that the group has committed; `cpu`, the seconds used so far.

    `beside` are those of the broker and of this process.
    """

    at: float
    done: int
    cpu: float
    beside: float = 0.0


@dataclass(frozen=True)
class Ride:
    """The result of one lane. `rate`: records a second between the first and the last commit seen.

    The topics should hold outcomes of `committed` records; `lost` of them have none, `twice` more than one.
    `beside` is the number of CPU cores that the broker and this process used meanwhile.
    """

    rate: float
    cpu_per_1000: float  # CPU seconds
    committed: int
    lost: int
    twice: int
    reasons: dict[str, int] = field(default_factory=dict)  # "" for labels
    beside: float = 0.0


class LaneError(Exception):
    """A lane failed. The error says how, and the lane's log says why."""


class Lanes:
    """Starts lanes on a course. All get the same job, except for topics and group."""

    def __init__(self, course: Course, job: Job) -> None:
        self.course = course
        self._job = job

    def job(
        self,
        messages: str,
        *,
        seconds_per_message: float = 0.0,
        bundle: str = "",
        settings: Settings | None = None,
    ) -> Job:
        """A job with a new group, which reads `messages` from the start."""
        return replace(
            self._job,
            messages=messages,
            group=f"lane-{next(_NUMBERS)}",
            seconds_per_message=seconds_per_message,
            bundle=bundle,
            settings=settings,
        )

    def ride(
        self, name: str, job: Job, total: int, seconds: float, look_every_s: float = LOOK_EVERY_S
    ) -> Ride:
        """Run `name` until `total` records are committed, or for `seconds` from its first commit.

        Raises LaneError.
        """
        outcomes = job.labels, job.dead_letters
        since = self.course.ends(outcomes)
        with started(name, job) as process:
            samples = self.watch([process], job, total, seconds, look_every_s)
        committed = self.course.committed(job.group, job.messages)
        found, reasons = self.course.outcomes(since)
        self.course.forget(outcomes)
        first, last = samples[0], samples[-1]
        records = last.done - first.done
        return Ride(
            rate=records / (last.at - first.at),
            cpu_per_1000=1000 * (last.cpu - first.cpu) / records,
            committed=committed,
            lost=max(0, committed - len(found)),
            twice=found.total() - len(found),
            reasons=dict(reasons),
            beside=(last.beside - first.beside) / (last.at - first.at),
        )

    def watch(
        self,
        processes: list[subprocess.Popen[bytes]],
        job: Job,
        total: int,
        seconds: float,
        look_every_s: float = LOOK_EVERY_S,
    ) -> list[Sample]:
        """Sample at every commit seen, three times or more. Raises LaneError."""
        samples: list[Sample] = []
        began = time.perf_counter()
        while True:
            done = self.course.committed(job.group, job.messages)
            now = time.perf_counter()
            if any(process.poll() is not None for process in processes):
                raise LaneError("it ended by itself")
            if done > (samples[-1].done if samples else 0):
                pids = [process.pid for process in processes]
                samples.append(Sample(now, done, sum(map(cpu_seconds, pids)), cpu_seconds_beside(pids)))
            if done >= total or (samples and now - samples[0].at > seconds):
                break
            if not samples and now - began > START_S:
                raise LaneError(f"it committed nothing within {START_S:.0f} s")
            time.sleep(look_every_s)
        if len(samples) < 3:
            raise LaneError(f"it was seen to commit {len(samples)} times only: give it more records")
        return samples


@contextmanager
def started(name: str, job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """A lane's process, which is ended after the block, with SIGKILL if need be."""
    path = job.save(Path(job.folder) / f"{job.group}.json")
    with log_of(name, job).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.lanes", name, str(path)], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def log_of(name: str, job: Job) -> Path:
    """The output of a lane's process."""
    return Path(job.folder) / f"{name.replace(' ', '-')}.log"
