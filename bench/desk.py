"""The review desk with many open cases: how fast its pages are, and how long a restart takes.

    python -m bench.desk                  100,000 cases: the index alone, then a real desk on a real Kafka
    python -m bench.desk --cases 10000    fewer
    python -m bench.desk --index          the index alone: seconds, and no Kafka

The index is filled with made cases of two tasks, and asked as pages and claims ask it. Then the desk runs as
its users run it: cases are produced to its topic, and pages are fetched over HTTP by somebody who has signed
in, one at a time: of every filter, at the front, anywhere, at the end; quiet, and while cases arrive. Then
the desk is killed (-9) and started again, with its folder and without. It is ready when every case is back.
"""

import argparse
import json
import random
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Self
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import confluent_kafka as ck

from bench.yardstick.machine import describe
from mimamori import process
from mimamori.sandbox import Sandbox
from review.cases.entries import CaseState
from review.people import ROLES, Person
from review.queue.live import LiveQueue
from review.queue.order import Filter
from review.queue.rules import Rules
from schemas import load_topics
from schemas.codec import encode
from schemas.events import Origin, ReviewCase, Severity
from worker.kafka.topics import apply_topics

LEVELS = {
    "stress": ["low", "moderate", "high"],
    "suicide-risk": ["supportive", "indicator", "ideation", "behaviour", "attempt"],
}
ANA = Person("ana", "Ana", frozenset(ROLES))
TEXT = "I lie awake and go over the same three sentences that I should have said at the meeting. "
PATIENCE_S = 1800.0
ROUNDS = 40


def cases(count: int, seed: int, first: int = 0) -> Iterator[ReviewCase]:
    """Cases of two tasks, up to two days old, with some samples, in conversations of about three."""
    draw, now = random.Random(seed), datetime.now(UTC)
    for number in range(first, first + count):
        task = draw.choice([*LEVELS])
        levels = LEVELS[task]
        scores = [draw.random() ** 3 for _ in levels]
        shares = {name: score / sum(scores) for name, score in zip(levels, scores, strict=True)}
        sent = now - timedelta(seconds=draw.uniform(0, 2 * 86_400))
        sample = draw.random() < 0.05
        yield ReviewCase(
            id=f"case:messages:{number % 2}:{number}",
            label_id=f"label:messages:{number % 2}:{number}",
            message_id=f"m-{number}",
            origin=Origin("messages", number % 2, number),
            task=task,
            kind="quality_sample" if sample else "escalation",
            verdict="clear" if sample else "at_risk",
            risk=draw.random(),
            severity=None if sample else Severity(max(shares, key=shares.__getitem__), shares),
            priority=draw.uniform(0, 100),
            reasons=[],
            bundle="0" * 64,
            conversation_id=f"conversation-{draw.randrange(count // 3 + 1)}",
            text=TEXT * draw.randint(1, 4),
            opened_at=sent + timedelta(seconds=2),
            levels=levels,
            sent_at=sent,
        )


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The median, the 95th percentile and the worst, in milliseconds."""
    ordered = sorted(seconds)
    p95 = ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]
    times = {"p50": statistics.median(ordered), "p95": p95, "worst": ordered[-1]}
    return {name: round(value * 1000, 1) for name, value in times.items()}


def timed(what: Callable[[], object], rounds: int = ROUNDS) -> dict[str, float]:
    """How long it takes, each time."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        what()
        taken.append(time.perf_counter() - began)
    return spread(taken)


def measure_index(count: int, seed: int) -> dict[str, dict[str, float]]:
    """The index alone, in this process."""
    states = [CaseState(case, 0) for case in cases(count, seed)]
    now = datetime.now(UTC)
    queue = LiveQueue(Rules(), lambda: now)
    began = time.perf_counter()
    for state in states:
        queue.put(state)
    filling = (time.perf_counter() - began) / count
    draw = random.Random(seed)
    wanted = [
        Filter(),
        Filter(task="stress"),
        Filter(overdue=True),
        Filter(level="high"),
        Filter(overdue=False),
    ]

    def page(offset: int) -> object:
        return queue.page(draw.choice(wanted), ANA, offset=offset, limit=50, levels=True)

    def take() -> None:
        if (case_id := queue.take_next(ANA, Filter())) is not None:
            queue.give_back(case_id)

    def later() -> object:
        nonlocal now
        now += timedelta(minutes=1)
        return queue.capacity()

    queue.capacity()
    return {
        "put one case": spread([filling]),
        "the first page": timed(lambda: page(0)),
        "a page anywhere": timed(lambda: page(draw.randrange(count))),
        "counts": timed(lambda: queue.counts(draw.choice(wanted), ANA)),
        "the place of a case": timed(lambda: queue.position(draw.choice(states).case.id, Filter(), ANA)),
        "the next case": timed(take),
        "the forecast, which is made every half minute": timed(later, 5),
    }


class Desk:
    """The desk as a process, and somebody who is signed in."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.port, self.health_port = (_free_port() for _ in range(2))
        self._settings = {
            "bootstrap": bootstrap,
            "topic_prefix": prefix,
            "port": self.port,
            "health_port": self.health_port,
            "folder": folder,
        }
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._browser = build_opener(HTTPCookieProcessor(CookieJar()))

    def start(self) -> None:
        """Start the process."""
        self._process = process.start(process.DESK, self._settings, self._log)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def cases(self) -> int:
        """How many open cases it says that it has; -1 while it is not ready."""
        with suppress(OSError), closing(self._browser.open(f"{self._health}/metrics", timeout=60)) as answer:
            lines = answer.read().decode().splitlines()
            if "mimamori_review_ready 1.0" in lines:
                found = (line for line in lines if line.startswith("mimamori_review_open_cases{"))
                return int(sum(float(line.rpartition(" ")[2]) for line in found))
        return -1

    def until(self, count: int) -> float:
        """Wait until it has so many cases. Return how many seconds that took."""
        began = time.perf_counter()
        while (found := self.cases()) != count:
            if time.perf_counter() - began > PATIENCE_S or (
                self._process and self._process.poll() is not None
            ):
                raise SystemExit(f"the desk has {found} of {count} cases:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.2)
        return time.perf_counter() - began

    def sign_in(self) -> None:
        """Type a name, as people on this machine do."""
        page = self.get("/sign-in")
        token = re.search(r'name="csrf" value="([^"]+)"', page)
        fields = urlencode({"name": "Ana", "csrf": token[1] if token else ""}).encode()
        form = Request(f"{self._address}/sign-in", fields, {"Origin": self._address})  # noqa: S310 - http
        self._browser.open(form).close()
        if "/sign-out" not in self.get("/"):
            raise SystemExit("signing in did not lead to the queue")

    def get(self, path: str) -> str:
        """The page at this path."""
        with closing(self._browser.open(self._address + path, timeout=60)) as answer:
            return str(answer.read().decode())

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _health(self) -> str:
        return f"http://127.0.0.1:{self.health_port}"


def measure_desk(count: int, seed: int) -> dict[str, object]:
    """A real desk on a real Kafka."""
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch, Sandbox(redis=False) as sandbox:
        prefix = "bench."
        topics = load_topics(prefix, partitions=2, replication_factor=1)
        apply_topics({"bootstrap.servers": sandbox.bootstrap}, topics)
        desk = Desk(sandbox.bootstrap, prefix, Path(scratch, "first"))
        try:
            desk.start()
            desk.until(0)
            producer = ck.Producer({"bootstrap.servers": sandbox.bootstrap, "partitioner": "murmur2_random"})
            _produce(producer, prefix, cases(count, seed))
            found["taking in all cases, s"] = round(desk.until(count), 1)
            desk.sign_in()
            found["pages, quiet, ms"] = _pages(desk, count, seed)
            with _Arriving(producer, prefix, first=count) as arriving:
                found["pages while 50 cases a second arrive, ms"] = _pages(desk, count, seed)
            all_cases = count + arriving.sent
            desk.until(all_cases)
            desk.kill()
            desk.start()
            found["restart with its folder, s"] = round(desk.until(all_cases), 1)
            found["pages after the restart, ms"] = _pages(desk, count, seed, signed_in=False)
            desk.kill()
            desk = Desk(sandbox.bootstrap, prefix, Path(scratch, "second"))
            desk.start()
            found["restart without its folder, s"] = round(desk.until(all_cases), 1)
        finally:
            desk.kill()
    return found


def _pages(desk: Desk, count: int, seed: int, *, signed_in: bool = True) -> dict[str, float]:
    if not signed_in:
        desk.sign_in()
    draw = random.Random(seed)
    filters = ["", "task=stress&", "task=suicide-risk&", "overdue=yes&", "overdue=no&"]
    taken = []
    for _ in range(5 * ROUNDS):
        offset = draw.choice([0, 0, 20, draw.randrange(count), count // 2 - 20])
        began = time.perf_counter()
        page = desk.get(f"/?{draw.choice(filters)}offset={offset}")
        taken.append(time.perf_counter() - began)
        if "<html" not in page:
            raise SystemExit("the desk answered with something that is no page")
    return spread(taken)


def _produce(producer: ck.Producer, prefix: str, made: Iterator[ReviewCase]) -> None:
    for case in made:
        while True:
            try:
                producer.produce(f"{prefix}review-cases", encode(case), key=case.id)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)


class _Arriving:
    """Produces 50 cases a second in a thread, while the block runs."""

    def __init__(self, producer: ck.Producer, prefix: str, *, first: int) -> None:
        self.sent = 0
        self._producer, self._topic, self._first = producer, f"{prefix}review-cases", first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.flush(60)

    def _run(self) -> None:
        for case in cases(100_000, seed=99, first=self._first):
            if self._stop.wait(0.02):
                return
            self._producer.produce(self._topic, encode(case), key=case.id)
            self._producer.poll(0)
            self.sent += 1


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--index", action="store_true", help="the index alone")
    parser.add_argument("--json", type=Path, help="write everything to this file as well")
    options = parser.parse_args()
    results: dict[str, object] = {"index, ms": measure_index(options.cases, options.seed)}
    print(json.dumps(results, indent=1), flush=True)
    if not options.index:
        results["desk"] = measure_desk(options.cases, options.seed)
        print(json.dumps(results["desk"], indent=1), flush=True)
    if options.json:
        everything = {"machine": describe(), "cases": options.cases, "seed": options.seed, **results}
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
