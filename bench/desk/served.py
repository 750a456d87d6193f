"""Measures a real desk on a real Kafka: taking in, pages, figures watched beside them, restarts."""

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from bench.desk.browsed import Browser, Desk
from bench.desk.made import PARTITIONS, cases, settled
from bench.desk.records import Arriving, Writer, entries_of
from bench.desk.spread import ROUNDS, spread
from mimamori.sandbox import Sandbox
from review.cases.keys import case_key
from review.retention.cipher import Cipher, Key
from schemas import load_topics
from worker.kafka.topics import apply_topics

PREFIX = "bench."
FILTERS = ("", "task=stress&", "task=suicide-risk&", "overdue=yes&", "overdue=no&")


class Run:
    """What was found, printed as it comes, each with the machine's load at that moment."""

    def __init__(self, say: Callable[[str, object], None]) -> None:
        self.found: dict[str, object] = {}
        self._say = say

    def note(self, name: str, value: object) -> None:
        """Keep a figure."""
        self.found[name] = {"is": value, "load": round(os.getloadavg()[0], 1)}
        self._say(name, self.found[name])


def measure_desk(
    count: int, seed: int, *, taken_in: int, decided: int, say: Callable[[str, object], None]
) -> dict[str, object]:
    """A real desk. `taken_in` of the cases come through their topic, the others are as a desk left them."""
    run, key = Run(say), Key.make()
    with tempfile.TemporaryDirectory() as scratch, Sandbox(redis=False) as sandbox:
        topics = load_topics(PREFIX, partitions=PARTITIONS, replication_factor=1)
        apply_topics({"bootstrap.servers": sandbox.bootstrap}, topics)
        writer = Writer(sandbox.bootstrap, PREFIX, Cipher([key]))
        desk = Desk(sandbox.bootstrap, PREFIX, Path(scratch, "desk"), key.text)
        try:
            desk.start()  # which makes the changelog
            desk.until(0)
            desk.kill()
            desk.forget_table()
            written = count - taken_in
            writer.leave(entries_of(cases(written, seed)))
            writer.leave((case_key(each.case_id), each) for each in settled(decided, seed))
            desk.start()
            run.note("first start, s", _started(desk, written))
            began = time.perf_counter()
            writer.arrive(cases(taken_in, seed + 1, first=written))
            desk.until(count)
            run.note("cases taken in, 1/s", round(taken_in / (time.perf_counter() - began)))
            ana = desk.browser("Ana")
            run.note("pages, quiet, ms", _pages(ana, count, seed))
            with Watching(desk.browser("Ben")) as watching:
                run.note("pages while somebody watches figures, ms", _pages(ana, count, seed))
            run.note("figures, ms", spread(watching.taken))
            with Arriving(writer, first=count) as arriving:
                run.note("pages while 50 cases a second arrive, ms", _pages(ana, count, seed))
            all_cases = count + arriving.sent
            desk.until(all_cases)
            desk.kill()
            desk.start()
            run.note("restart with its table, s", _started(desk, all_cases))
            run.note("pages after the restart, ms", _pages(desk.browser("Ana"), count, seed))
            desk.kill()
            desk.forget_table()
            desk.start()
            run.note("restart without its table, s", _started(desk, all_cases))
            run.note("pages after that restart, ms", _pages(desk.browser("Ana"), count, seed))
        finally:
            desk.kill()
    return run.found


def _started(desk: Desk, count: int) -> dict[str, float]:
    """How long it took until all cases were there, and how much of a processor the desk used for that."""
    taken = desk.until(count)
    return {"until all cases": round(taken, 1), "of a processor": round(desk.processor_s(), 1)}


def _pages(browser: Browser, count: int, seed: int) -> dict[str, float]:
    draw = random.Random(seed)
    taken = []
    for _ in range(5 * ROUNDS):
        offset = draw.choice([0, 0, 20, draw.randrange(count), count // 2 - 20])
        began = time.perf_counter()
        page = browser.get(f"/?{draw.choice(FILTERS)}offset={offset}")
        taken.append(time.perf_counter() - began)
        if "<html" not in page:
            raise SystemExit("the desk answered with something that is no page")
    return spread(taken)


class Watching:
    """Has somebody load the page of figures again and again, in a thread, while the block runs."""

    def __init__(self, browser: Browser) -> None:
        self.taken: list[float] = []
        self._browser = browser
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            for days in (30, 7, 1):
                began = time.perf_counter()
                self._browser.get(f"/figures?days={days}")
                self.taken.append(time.perf_counter() - began)
