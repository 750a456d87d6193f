"""The simulation: workers of one group read partitions in batches, die, restart, and are scaled.

It is made of events (simpy), a few for each batch and none for a message, so that a million messages a second
are simulated in minutes. A worker has the stations of the real one (`station.py`). A batch counts once it is
committed: what a dead worker had in hand is read again by whoever gets its partitions, in order.

What is left out: the brokers (they are as quick as measured, whatever the rate), fetching, and the score
cache.
"""

import math
import random
from collections.abc import Generator, Sequence
from typing import Any, Final

import msgspec
import simpy

from bench.scale.arrivals import Arrivals
from bench.scale.keda import Autoscaler, Scaling
from bench.scale.result import Look, Outcome, Waits
from bench.scale.station import Batch, Inflow, Member, Worker

SAMPLES: Final = 8  # messages of a partition's part of a batch whose wait is noted, for all of them
LOOK_EVERY_S: Final = 1.0

Steps = Generator[simpy.Event, Any, None]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What the group takes. A partition that changes its reader has none for `gap_s`."""

    gap_s: float = 2.0
    session_s: float = 10.0  # until the group knows that a member has died
    start_s: float = 30.0  # from a pod's creation until it joins: image, model, proof


class Fault(msgspec.Struct, frozen=True):
    """At this time, so many workers are killed, or restarted one after the other in steps of so many."""

    at: float
    kind: str  # "kill" or "roll"
    workers: int
    back: bool = True  # killed ones are started again


class Fleet:
    """Simulates one group of workers. Use `simulate`."""

    def __init__(
        self,
        arrivals: Arrivals,
        worker: Worker,
        workers: int,
        group: Group,
        faults: Sequence[Fault] = (),
        scaling: Scaling | None = None,
        samples: int = SAMPLES,
    ) -> None:
        """The workers are there at 0 s, with their partitions."""
        self._arrivals = arrivals
        self._worker = worker
        self._group = group
        self._faults = faults
        self._scaling = scaling
        self._samples = samples
        self._chance = random.Random(1)
        self._env = simpy.Environment()
        self._done = [0] * arrivals.partitions  # messages of each partition that are committed
        self._ready = [0.0] * arrivals.partitions  # since when its reader may read each partition
        self._waits = Waits()
        self._looks: list[Look] = []
        self._busy_s = 0.0  # of workers that are gone, too
        self._worked_s = 0.0
        self._twice = 0
        self._rebalances = 0
        self._number = 0
        self._members: dict[int, Member] = {}
        for _ in range(workers):
            self._add()
        self._share_out(first=True)

    def run(self, patience_s: float) -> Outcome:
        """Until all arrivals are labelled, but no longer than `patience_s` after the last one."""
        self._env.process(self._look())
        for fault in self._faults:
            self._env.process(self._kill(fault) if fault.kind == "kill" else self._roll(fault))
        if self._scaling is not None:
            self._env.process(self._scale(self._scaling))
        ends = self._arrivals.seconds
        total = self._arrivals.total()
        while self._env.now < ends or (sum(self._done) < total and self._env.now < ends + patience_s):
            self._env.run(self._env.now + LOOK_EVERY_S)
        for member in list(self._members.values()):
            self._close(member)
        return Outcome(
            messages=total,
            labelled=sum(self._done),
            p50=self._waits.quantile(0.5),
            p99=self._waits.quantile(0.99),
            worst_lag=max(look.lag for look in self._looks),
            most_workers=max(look.workers for look in self._looks),
            utilisation=self._busy_s / self._worked_s if self._worked_s else math.nan,
            read_twice=self._twice,
            rebalances=self._rebalances,
            looks=tuple(self._looks),
        )

    @property
    def waits(self) -> Waits:
        """How long messages have waited."""
        return self._waits

    def _add(self) -> None:
        take = Inflow(self._waiting, self._take, self._next, self._commit)
        self._members[self._number] = Member(self._env, self._number, self._worker, take, self._chance)
        self._number += 1

    def _close(self, member: Member) -> None:
        del self._members[member.number]
        self._busy_s += member.busy_s
        self._worked_s += self._env.now - member.since

    def _share_out(self, *, first: bool = False) -> None:
        """Even shares with as few moves as possible, as both of Kafka's sticky assignors do."""
        members = list(self._members.values())
        self._rebalances += not first
        if not members:
            return
        count = self._arrivals.partitions
        least, more = divmod(count, len(members))
        free = set(range(count))
        members.sort(key=lambda member: -len(member.partitions))
        for rank, member in enumerate(members):
            member.keep(least + (rank < more))
            free.difference_update(member.partitions)
        ready = self._env.now + (0.0 if first else self._group.gap_s)
        left = sorted(free)
        for rank, member in enumerate(members):
            for _ in range(least + (rank < more) - len(member.partitions)):
                partition = left.pop()
                member.partitions[partition] = self._ready[partition] = ready
            member.wake()

    def _take(self, member: Member) -> Batch:
        """All that waits in the partitions that can be read, at most as much as fits, in even parts."""
        limit = self._worker.limit()
        waiting = self._waiting(member)
        if sum(count for *_, count in waiting) > limit:
            waiting.sort(key=lambda each: each[2])
            for rank, (partition, first, count) in enumerate(waiting):
                part = min(count, limit // (len(waiting) - rank))
                limit -= part
                waiting[rank] = partition, first, part
        batch = [each for each in waiting if each[2]]
        member.reached |= {partition: first + count for partition, first, count in batch}
        return batch

    def _waiting(self, member: Member) -> Batch:
        """Of each partition that can be read, from which message on so many wait."""
        now = self._env.now
        found = []
        for partition, ready in member.partitions.items():
            if ready <= now:
                first = member.reached.setdefault(partition, self._done[partition])
                count = self._arrivals.by(partition, now) - first
                if count > 0:
                    found.append((partition, first, count))
        return found

    def _next(self, member: Member) -> float:
        """When a message comes, or a partition can be read, at the soonest."""
        return min(
            (
                max(
                    ready,
                    self._arrivals.when(partition, member.reached.get(partition, self._done[partition]) + 1),
                )
                for partition, ready in member.partitions.items()
            ),
            default=math.inf,
        )

    def _commit(self, member: Member, batch: Batch) -> None:
        until = self._env.now + self._worker.transit_s
        for partition, first, count in batch:
            # What is in hand when a partition moves on is finished, if that takes no longer than the move.
            moved = partition not in member.partitions and self._ready[partition] <= self._env.now
            if moved or self._done[partition] != first:
                self._twice += count
                continue
            samples = min(count, self._samples)
            for sample in range(samples):
                number = first + 1 + int((sample + 0.5) * count / samples)
                came = self._arrivals.when(partition, min(number, first + count))
                self._waits.note(until - came, count / samples)
            self._done[partition] = first + count

    def _look(self) -> Steps:
        while True:
            now = self._env.now
            lag = sum(
                self._arrivals.by(number, now) - self._done[number]
                for number in range(self._arrivals.partitions)
            )
            busy = sum(member.reading for member in self._members.values())
            count = len(self._members)
            self._looks.append(Look(now, lag, count, busy / count if count else 0.0))
            yield self._env.timeout(LOOK_EVERY_S)

    def _kill(self, fault: Fault) -> Steps:
        yield self._env.timeout(fault.at)
        for member in list(self._members.values())[: fault.workers]:
            self._twice += member.die()
            self._close(member)
        yield self._env.timeout(self._group.session_s)
        self._share_out()
        if fault.back:
            yield self._env.timeout(max(0.0, self._group.start_s - self._group.session_s))
            for _ in range(fault.workers):
                self._add()
            self._share_out()

    def _roll(self, fault: Fault) -> Steps:
        """Each worker makes room for a new one, some at a time: as a Deployment does without surge."""
        yield self._env.timeout(fault.at)
        olds = list(self._members.values())
        for first in range(0, len(olds), fault.workers):
            part = [old for old in olds[first : first + fault.workers] if old.number in self._members]
            yield from self._drained(part)
            yield self._env.timeout(self._group.start_s)
            for _ in part:
                self._add()
            self._share_out()

    def _scale(self, scaling: Scaling) -> Steps:
        asked = Autoscaler(scaling, len(self._members))
        wanted = len(self._members)
        while True:
            yield self._env.timeout(scaling.polling_s)
            now = asked.ask(self._env.now, self._looks[-1].lag, wanted)
            if now > wanted:
                self._env.process(self._start(now - wanted))
            yield from self._drained(list(self._members.values())[: max(0, wanted - now)])
            wanted = now

    def _drained(self, members: Sequence[Member]) -> Steps:
        """These finish what they have in hand, and leave together."""
        for member in members:
            member.leave()
        yield self._env.all_of([member.drained for member in members])
        for member in members:
            member.partitions.clear()
            if member.number in self._members:  # it may have been killed on its way
                self._close(member)
        if members:
            self._share_out()

    def _start(self, count: int) -> Steps:
        yield self._env.timeout(self._group.start_s)
        for _ in range(count):
            self._add()
        self._share_out()


def simulate(
    arrivals: Arrivals,
    worker: Worker,
    workers: int,
    group: Group,
    faults: Sequence[Fault] = (),
    scaling: Scaling | None = None,
    patience_s: float = 600.0,
    samples: int = SAMPLES,
) -> Outcome:
    """Simulate a group from 0 s until all is labelled, or until `patience_s` after the last message."""
    return Fleet(arrivals, worker, workers, group, faults, scaling, samples).run(patience_s)
