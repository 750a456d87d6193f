"""How long labels take while workers are replaced one after another, as a rolling upgrade does it.

    python -m bench.rolling [--protocols classic,consumer] [--surges 1,0] [--rounds 5] [--rate 200] [--show]

Four workers (`mimamori run`, the tests' tiny bundle) read six partitions at a steady rate. In turns, nothing
happens for a while, and then every worker is replaced. With a surge of 1 a new one starts first, and the old
one gets its SIGTERM when that is ready; with 0 the old one gets it as the new one starts. The next
replacement starts at once, as Kubernetes does it. Waits are from the moment at which a message was due to be
sent to the moment at which a reader of committed labels has its label. A partition's silence is the longest
time between two of its labels. Ratios are of one round, and medians of the rounds, with lowest and highest.
In the end every message must have exactly one outcome, in order. `--show` prints what happened when.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from subprocess import Popen
from typing import Any, Final

import numpy as np

from bench.rolling_load import PARTITIONS, Load, Wait
from mimamori import process
from mimamori.sandbox import Sandbox
from mimamori.sandbox.server import choose_port
from mimamori.soak.script import LONGEST_TEXT
from schemas import load_topics
from tests.fakes.tiny_bundle import write_tiny_bundle
from worker.kafka.topics import apply_topics

START_S: Final = 60.0
END_S: Final = 30.0
SETTLED_S: Final = 3.0
BUCKET_S: Final = 0.25
TOLD: Final = ("worker_started", "engine_ready", "assignment_changed", "worker_stopped", "batch_aborted")


@dataclass(frozen=True)
class Way:
    """How workers are replaced."""

    protocol: str
    surge: int
    settings: dict[str, Any]

    def __str__(self) -> str:
        further = "".join(f", {name} {value}" for name, value in self.settings.items())
        return f"{self.protocol}, surge {self.surge}{further}"


@dataclass
class Fleet:
    """Workers, each with a log of its own."""

    settings: dict[str, Any]
    folder: Path
    settles: float = 0
    running: list[tuple[Popen[bytes], int, Path]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    def start(self) -> tuple[Popen[bytes], int, Path]:
        """Start one, and do not wait for it."""
        port = choose_port(0, "")
        log = self.folder / f"worker-{len(self.logs)}.log"
        self.logs.append(log)
        settings = self.settings | {"health_port": port, "transactional_id": log.stem}
        return process.start(process.WORKER, settings, log, own_session=True), port, log

    def replace(self, surge: int) -> list[tuple[float, str]]:
        """Replace every worker; return what was done when."""
        done: list[tuple[float, str]] = []
        leaving: list[Popen[bytes]] = []

        def say(what: str, log: Path) -> None:
            done.append((time.time(), f"{log.stem}: {what}"))

        for old, _, its_log in list(self.running):
            if surge == 0:
                say("SIGTERM", its_log)
                old.terminate()
            new = self.start()
            say("starts", new[2])
            process.await_ready(*new, START_S)
            say("is ready", new[2])
            time.sleep(self.settles)
            if surge:
                say("SIGTERM", its_log)
                old.terminate()
            leaving.append(old)
            self.running = [*self.running[1:], new]
        for old in leaving:
            old.wait(END_S)
        return done

    def told(self) -> Iterator[tuple[float, str]]:
        """What the workers' logs say, and when."""
        for log in self.logs:
            for line in log.read_text().splitlines():
                said = json.loads(line) if line.startswith("{") else {}
                if said.get("event") in TOLD or said.get("level") in {"warning", "error"}:
                    at = datetime.fromisoformat(said["timestamp"]).timestamp()
                    yield at, f"{log.stem}: {said['event']} {said.get('partitions', '')}"

    def end(self) -> None:
        """End them all."""
        for worker, _, _ in self.running:
            worker.terminate()
        for worker, _, _ in self.running:
            worker.wait(END_S)


@contextmanager
def fleet(settings: dict[str, Any], folder: Path, size: int, settles: float) -> Iterator[Fleet]:
    """So many workers that are ready. Those that still run are killed."""
    workers = Fleet(settings, folder, settles)
    try:
        workers.running = [workers.start() for _ in range(size)]
        for each in workers.running:
            process.await_ready(*each, START_S)
        yield workers
    finally:
        for worker, _, _ in workers.running:
            worker.kill()


def within(waits: Iterable[Wait], since: float, until: float) -> list[Wait]:
    """The waits of messages that were due in that time."""
    return [wait for wait in waits if since <= wait[0] < until]


def p99(waits: Iterable[Wait]) -> float:
    """In seconds."""
    return float(np.percentile([wait for _, wait, _ in waits], 99))


def silences(waits: Iterable[Wait]) -> list[float]:
    """The longest time between two labels, for each partition."""
    seen: dict[int, list[float]] = defaultdict(list)
    for due, wait, partition in waits:
        seen[partition].append(due + wait)
    return [float(np.diff(sorted(times)).max()) for times in seen.values()]


def show(waits: list[Wait], events: Iterable[tuple[float, str]], since: float, until: float) -> None:
    """Print what happened, with the longest wait of each moment's messages."""
    lines = [(at, what) for at, what in events if since <= at < until]
    buckets: dict[int, list[Wait]] = defaultdict(list)
    for wait in waits:
        buckets[int((wait[0] - since) / BUCKET_S)].append(wait)
    for bucket, found in buckets.items():
        _, longest, partition = max(found, key=lambda wait: wait[1])
        lines.append((since + bucket * BUCKET_S, f"    p{partition} {longest * 1000:5.0f} ms"))
    for at, what in sorted(lines):
        print(f"      {at - since:6.2f} s  {what}")


def rolled(way: Way, bootstrap: str, folder: Path, given: argparse.Namespace) -> None:
    """Measure one way, and print its lines."""
    prefix = f"{folder.name}."
    apply_topics(
        {"bootstrap.servers": bootstrap}, load_topics(prefix, replication_factor=1, partitions=PARTITIONS)
    )
    settings = {
        "bundle": write_tiny_bundle(folder / "tiny").path,
        "bootstrap": bootstrap,
        "group": prefix,
        "group_protocol": way.protocol,
        "topic_prefix": prefix,
        "device": "cpu",
        "threads": 1,
        "drain_s": 10,
        "lower": 0.8,
        "upper": 0.9,
        "max_text_chars": LONGEST_TEXT,
        **way.settings,
    }
    rows: list[tuple[float, ...]] = []
    records = int(given.rate * (given.seconds + 120) * given.rounds)
    with (
        fleet(settings, folder, given.workers, given.settles) as workers,
        Load(bootstrap, prefix, records, given.rate) as load,
    ):
        time.sleep(SETTLED_S)
        for number in range(given.rounds):
            quiet = time.time()
            time.sleep(given.seconds)
            begun = time.time()
            done = workers.replace(way.surge)
            over = time.time()
            time.sleep(SETTLED_S)
            before, meanwhile = within(load.waits, quiet, begun), within(load.waits, begun, over)
            normal, rolling, still = p99(before), p99(meanwhile), silences(meanwhile)
            rows.append((normal, rolling, rolling / normal, median(still), max(still), over - begun))
            if given.show:
                show(meanwhile, [*done, *workers.told()], begun, over)
            print(f"    round {number + 1}: {line(rows[-1:])}", flush=True)
        sent = load.pause()
        deadline = time.time() + END_S
        while load.checker.seen < sent and time.time() < deadline:
            time.sleep(0.1)
        workers.end()
        print(f"{way}: {line(rows)}; {sent:,} messages, wrong: {load.trouble(sent)}", flush=True)


def line(rows: list[tuple[float, ...]]) -> str:
    """The medians, with lowest and highest where there are several."""
    normal, rolling, ratio, usual, longest, took = (
        (median(column), min(column), max(column)) for column in zip(*rows, strict=True)
    )
    spread = f" ({ratio[1]:.2f}-{ratio[2]:.2f})" if len(rows) > 1 else ""
    return (
        f"p99 {normal[0] * 1000:.0f} ms, replacing {rolling[0] * 1000:.0f} ms: {ratio[0]:.2f} times{spread}; "
        f"a partition is silent for {usual[0]:.2f} s, at most {longest[2]:.2f} s; {took[0]:.1f} s in all"
    )


def main() -> None:
    """Measure each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocols", default="classic,consumer")
    parser.add_argument("--surges", default="1,0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15, help="of nothing, before each replacement")
    parser.add_argument("--rate", type=float, default=200, help="messages a second")
    parser.add_argument("--settles", type=float, default=0, help="seconds between ready and SIGTERM")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument(
        "--settings", type=json.loads, default={}, help="further settings of workers, as JSON"
    )
    parser.add_argument("--logs", type=Path, help="keep the workers' logs in this folder")
    parser.add_argument("--show", action="store_true", help="print what happened when")
    given = parser.parse_args()
    with Sandbox(redis=False) as sandbox, tempfile.TemporaryDirectory(prefix="rolling-") as root:
        for protocol in given.protocols.split(","):
            for surge in map(int, given.surges.split(",")):
                folder = (given.logs or Path(root)) / f"{protocol}-{surge}"
                folder.mkdir(parents=True)
                rolled(Way(protocol, surge, given.settings), sandbox.bootstrap, folder, given)


if __name__ == "__main__":
    main()
