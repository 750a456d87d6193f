"""One worker of the simulation, with the three stations of the real one.

    intake    closes a batch: at once where nothing is in flight; with one batch in flight when its first
              message is `wait_s` old; with more not before one is done; always where it is full
    screener  one batch at a time, in so many seconds for a batch and for each message of it
    outbox    the same, beside the screener

`worker/stream/intake.py` has the same rules (`_is_due`, `_has_room`). What a batch takes is drawn, where it
was measured how that varies: see `bench/scale/calibration.py`.
"""

import math
import random
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, cast

import msgspec
import simpy

Batch = list[tuple[int, int, int]]  # partition, how many were read of it before, how many are in the batch
Steps = Generator[simpy.Event, Any, None]


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's times in seconds, and its limits.

    `read_more` and `commit_more` are what single batches took more than that, or less, as measured: one is
    drawn for each batch. Empty: all take the same.
    """

    batch_s: float  # reading a batch costs this, whatever is in it
    message_s: float  # and this for each message
    commit_s: float = 0.0  # committing one
    commit_message_s: float = 0.0
    transit_s: float = 0.0  # from the producer to the intake, and from the commit to a reader
    wait_s: float = 0.05  # MIMAMORI_MAX_WAIT_MS
    most_batches: int = 3  # MIMAMORI_MAX_BATCHES
    most_records: int = 2000  # MIMAMORI_MAX_RECORDS
    most_s: float = 5.0  # MIMAMORI_MAX_BATCH_S
    read_more: tuple[float, ...] = ()
    commit_more: tuple[float, ...] = ()

    def limit(self) -> int:
        """The most messages in a batch."""
        return max(1, min(self.most_records, int((self.most_s - self.batch_s) / self.message_s)))

    def rate(self) -> float:
        """Messages a second, in batches as large as they can be."""
        return self.limit() / (self.batch_s + self.limit() * self.message_s)


class Inflow(NamedTuple):
    """What a worker asks of the fleet: what waits, take it, when more comes. `commit` tells the fleet."""

    waiting: Callable[["Member"], Batch]
    take: Callable[["Member"], Batch]
    soonest: Callable[["Member"], float]
    commit: Callable[["Member", Batch], None]


class Member:
    """One worker: its partitions with the time from which it may read each, and what it has in hand."""

    def __init__(
        self, env: simpy.Environment, number: int, worker: Worker, inflow: Inflow, chance: random.Random
    ) -> None:
        """It has no partition yet."""
        self.number = number
        self.since = env.now
        self.partitions: dict[int, float] = {}
        self.reached: dict[int, int] = {}  # how many messages of a partition it has taken, or found done
        self.busy_s = 0.0
        self.reading = False
        self.drained = env.event()
        self._env, self._worker, self._inflow, self._chance = env, worker, inflow, chance
        self._leaving = self._dead = False
        self._in_flight: list[Batch] = []
        self._to_read: list[Batch] = []
        self._committed_at = 0.0  # when the outbox is free
        self._changed = env.event()
        self._handed = env.event()
        env.process(self._intake())
        env.process(self._screen())

    def keep(self, count: int) -> None:
        """Give up what exceeds `count` partitions."""
        while len(self.partitions) > count:
            partition, _ = self.partitions.popitem()
            self.reached.pop(partition, None)

    def wake(self) -> None:
        """It has other partitions now, or a batch is done."""
        changed, self._changed = self._changed, self._env.event()
        changed.succeed()

    def leave(self) -> None:
        """Read no more; `drained` once what is in flight is committed."""
        self._leaving = True
        self.wake()
        self._drain()

    def die(self) -> int:
        """End at once; says how many messages it had begun to read and not committed."""
        self._dead = self._leaving = True
        self.partitions.clear()
        self.wake()
        self._drain()
        begun = [batch for batch in self._in_flight if batch not in self._to_read]
        return sum(count for batch in begun for *_, count in batch)

    def _intake(self) -> Steps:
        while not self._leaving:
            if len(self._in_flight) >= self._worker.most_batches:
                yield self._changed
            elif not self._inflow.waiting(self):
                yield from self._until(self._inflow.soonest(self))
            else:
                yield from self._fill()

    def _fill(self) -> Steps:
        """From the first message of a batch until it is closed."""
        due = self._env.now + self._worker.wait_s
        while self._in_flight and not self._leaving and not self._is_full():
            if len(self._in_flight) == 1 and self._env.now >= due - 1e-9:
                break
            yield from self._until(due if len(self._in_flight) == 1 else math.inf)
        if self._dead or not (batch := self._inflow.take(self)):  # its partitions have moved on
            return
        self._in_flight.append(batch)
        self._to_read.append(batch)
        handed, self._handed = self._handed, self._env.event()
        handed.succeed()

    def _is_full(self) -> bool:
        return sum(count for *_, count in self._inflow.waiting(self)) >= self._worker.limit()

    def _until(self, at: float) -> Steps:
        """Until then, or until something has changed."""
        # A rounding error must not let it look at one moment for ever.
        due = [self._env.timeout(max(at - self._env.now, 1e-6))] if at < math.inf else []
        yield self._env.any_of([self._changed, *due])

    def _screen(self) -> Steps:
        worker = self._worker
        while not self._dead:
            if not self._to_read:
                yield self._handed
                continue
            batch = self._to_read.pop(0)
            count = sum(taken for *_, taken in batch)
            cost = self._cost(worker.batch_s + count * worker.message_s, worker.read_more)
            self.reading = True
            yield self._env.timeout(cost)
            self.reading = False
            self.busy_s += cost
            commit_s = self._cost(worker.commit_s + count * worker.commit_message_s, worker.commit_more)
            self._committed_at = max(self._committed_at, self._env.now) + commit_s
            done = self._env.timeout(self._committed_at - self._env.now, batch)
            done.callbacks.append(self._done)

    def _cost(self, usual: float, more: tuple[float, ...]) -> float:
        return max(0.0, usual + self._chance.choice(more)) if more else usual

    def _done(self, event: simpy.Event) -> None:
        if self._dead:
            return
        batch = cast("Batch", event.value)
        self._in_flight.remove(batch)
        self._inflow.commit(self, batch)
        self.wake()
        self._drain()

    def _drain(self) -> None:
        if self._leaving and (self._dead or not self._in_flight) and not self.drained.triggered:
            self.drained.succeed()
