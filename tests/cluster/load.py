"""Numbered messages, and what becomes of each: the chaos tests' script and checker, in the background."""

import threading
import time
from collections.abc import Callable
from typing import Self

import numpy as np

import schemas
from mimamori.soak.checker import Checker, Findings
from mimamori.soak.clients import Feed, Housekeeping, Watch
from mimamori.soak.script import LONGEST_TEXT, Script
from schemas import DeadLetter, Label, Message, ReviewCase, topic_names
from tests.cluster.release import Release

# What the script's outcomes depend on. The two thresholds keep the desk's topics small.
SETTINGS = {"max_text_chars": LONGEST_TEXT, "lower": 0.8, "upper": 0.9}
_EVERY_S = 0.05


class Load:
    """Sends `records` messages, so many a second, and takes every outcome. A context manager.

    The release's topics must exist, and be empty.
    """

    def __init__(
        self, release: Release, records: int, *, a_second: float, partitions: int = 6, seed: int = 1
    ) -> None:
        self.records = records
        self._release = release
        self._partitions = partitions
        self._a_second = a_second
        self._hurry = threading.Event()
        self._messages = topic_names(release.prefix)[Message]
        names = {kind: topic_names(release.prefix)[kind] for kind in (Label, DeadLetter, ReviewCase)}
        self._kinds = {name: kind for kind, name in names.items()}
        script = Script(seed, records, partitions)
        bootstrap = release.cluster.bootstrap
        self._checker = Checker(script, self._messages)
        self._house = Housekeeping(bootstrap)
        self._watch = Watch(bootstrap, self._kinds)
        self._feed = Feed(bootstrap, self._messages, script)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._failure: BaseException | None = None
        self._started = 0.0
        self._waits: list[tuple[float, float]] = []  # of each label: since when, how long

    @property
    def seen(self) -> int:
        """How many messages have their outcome."""
        if self._failure:
            raise self._failure
        return self._checker.seen

    @property
    def lasts(self) -> bool:
        """Whether messages are still to be sent."""
        return self.seen < self.records

    def waits(self, since: float, until: float) -> str:
        """How long messages that were sent between two times waited for labels, in a line for people."""
        waits = [wait for due, wait in list(self._waits) if since <= due < until]
        if not waits:
            return "no message"
        half, most = np.percentile(waits, [50, 99])
        return f"{len(waits)} messages: p50 {half * 1000:.0f} ms, p99 {most * 1000:.0f} ms"

    def rest(self, within_s: float) -> None:
        """Send what is left at once, and wait until every message has its outcome. Raises TimeoutError."""
        self._hurry.set()
        await_that(lambda: self.seen == self.records, f"all of {self.records} outcomes", within_s)

    def verdict(self) -> Findings:
        """What the checker says, once no worker runs any more. Ends the load."""
        self._stopping.set()
        self._thread.join()
        self._house.await_closed(self._watch.positions)
        self._take(to_end=True)
        self._checker.committed(self._house.committed(self._release.name, self._messages, self._partitions))
        return self._checker.findings()

    def __enter__(self) -> Self:
        self._feed.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._feed.__exit__()
        self._watch.__exit__()

    def _run(self) -> None:
        self._started = time.monotonic()
        try:
            while not self._stopping.is_set():
                passed = time.monotonic() - self._started
                due = self.records if self._hurry.is_set() else self._a_second * passed
                for partition in range(self._partitions):
                    self._feed.allow(partition, int(due / self._partitions) + 1)
                self._feed.check()
                self._take(to_end=False)
        except BaseException as error:  # noqa: BLE001 - raised where the load is looked at
            self._failure = error

    def _take(self, *, to_end: bool) -> None:
        records = self._watch.read_to_end() if to_end else self._watch.read()
        for topic, partition, value in records:
            self._checker.take(self._kinds[topic], partition, value)
            if self._kinds[topic] is Label and not self._hurry.is_set():
                sequence = schemas.decode(Label, value or b"").origin.offset
                due = self._started + sequence * self._partitions / self._a_second
                self._waits.append((due, time.monotonic() - due))


def await_that(is_so: Callable[[], object], what: str, within_s: float) -> None:
    """Wait until something is so. Raises TimeoutError, which says what was waited for."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:.0f} s")
        time.sleep(_EVERY_S)
