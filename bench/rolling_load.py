"""A steady stream of numbered messages, and how long each waits for its label: for bench/rolling.py."""

import threading
import time
from collections.abc import Iterable
from typing import Final, Self

import schemas
from mimamori.soak.checker import Checker
from mimamori.soak.clients import Feed, Housekeeping, Watch
from mimamori.soak.script import Script
from schemas import DeadLetter, Label, Message, ReviewCase, topic_names

PARTITIONS: Final = 6

Wait = tuple[float, float, int]  # when it was due, how long it took, its partition


class Load:
    """Sends messages at a steady rate, and takes every outcome, on its own thread. A context manager."""

    def __init__(self, bootstrap: str, prefix: str, records: int, rate: float) -> None:
        names = topic_names(prefix)
        self._kinds: dict[str, type[Label | DeadLetter | ReviewCase]] = {
            names[kind]: kind for kind in (Label, DeadLetter, ReviewCase)
        }
        self._messages, self._rate, self._group = names[Message], rate, prefix
        script = Script(1, records, PARTITIONS)
        self.checker = Checker(script, self._messages)
        self._lengths = script.lengths
        self._house = Housekeeping(bootstrap)
        self._feed = Feed(bootstrap, self._messages, script)
        self._watch = Watch(bootstrap, self._kinds)
        self._ending = threading.Event()
        self._began = 0.0
        self._until: float | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.waits: list[Wait] = []

    def __enter__(self) -> Self:
        self._feed.__enter__()
        self._began = time.time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._feed.__exit__()
        self._watch.__exit__()

    def pause(self) -> int:
        """Send no more; return how many were sent."""
        self._until = time.time()
        time.sleep(0.1)
        return sum(min(int(self._due(self._until)) + 1, length) for length in self._lengths)

    def trouble(self, sent: int) -> str:
        """What the checker finds once no worker runs: nothing, or how much of what."""
        self._ending.set()
        self._thread.join()
        self._house.await_closed(self._watch.positions)
        self._take(self._watch.read_to_end())
        found = self.checker.findings().counts
        found["lost"] -= sum(self._lengths) - sent
        return ", ".join(f"{count} {kind}" for kind, count in found.items() if count) or "nothing"

    def _due(self, now: float) -> float:
        return self._rate * (now - self._began) / PARTITIONS

    def _run(self) -> None:
        while not self._ending.is_set():
            due = self._due(self._until or time.time())
            for partition in range(PARTITIONS):
                self._feed.allow(partition, int(due) + 1)
            self._feed.check()
            self._take(self._watch.read())

    def _take(self, records: Iterable[tuple[str, int, bytes | None]]) -> None:
        for topic, partition, value in records:
            self.checker.take(self._kinds[topic], partition, value)
            if self._kinds[topic] is Label:
                origin = schemas.decode(Label, value or b"").origin
                due = self._began + origin.offset * PARTITIONS / self._rate
                self.waits.append((due, time.time() - due, origin.partition))
