"""One class of the queue: cases whose order among each other never changes, whatever time it is. Pure.

The oldest comes first, since all of them gain urgency at one rate. Those past their deadline stand in front.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sortedcontainers import SortedList

from review.cases.script import Script
from review.queue.urgency import Lane, Law, grown, quarters, shown_lane_of
from review.queue.waiting import State, Waiting


class ClassKey(NamedTuple):
    """What the cases of a class have in common. `shown` gives them their place in lists."""

    lane: Lane
    state: State
    quarter: int
    raised: bool
    shown: Lane
    script: Script | None


class Rank(NamedTuple):
    """The place of a case in an order of the whole queue: the least comes first, and no two are equal.

    `first` is what counts: the urgency, negative; or the moment of the deadline.
    """

    first: float
    since: float
    minus_priority: float
    id: str


def class_of(entry: Waiting, lane: Lane) -> ClassKey:
    """The class that a case belongs to."""
    quarter, shown = quarters(entry.uncertainty), shown_lane_of(entry)
    return ClassKey(lane, entry.state, quarter, entry.raised, shown, entry.script)


class CaseClass:
    """The cases of one class, oldest first."""

    def __init__(self, key: ClassKey, law: Law) -> None:
        self.key = key
        self.allowance = law.allowance(key.lane)
        self.severe = law.severe(key.lane)
        self._shown_allowance = law.allowance(key.shown)
        self._base = law.weight(key.shown) * law.doubt(key.quarter, raised=key.raised)
        self._greatest = law.greatest(key.shown, raised=key.raised)
        self._cases: SortedList = SortedList()

    def __len__(self) -> int:
        return len(self._cases)

    def add(self, entry: Waiting) -> None:
        """Add a case."""
        self._cases.add((entry.since, -entry.priority, entry.id))

    def remove(self, entry: Waiting) -> None:
        """Remove a case, given as it was added. Raises ValueError: it is not here."""
        self._cases.remove((entry.since, -entry.priority, entry.id))

    def since(self, place: int) -> float:
        """When the case at this place was sent, in Unix seconds."""
        return float(self._cases[place][0])

    def all_since(self) -> list[float]:
        """When each case was sent, oldest first."""
        return [since for since, _, _ in self._cases]

    def urgency(self, since: float, now: float) -> float:
        """The urgency of a case of this class that was sent at `since`."""
        return grown(now - since, self._shown_allowance, self._base, self._greatest)

    def overdue(self, now: float) -> int:
        """How many are past their deadline; they are the first ones."""
        return self._older(self.allowance, now)

    def above(self, urgency: float, now: float) -> int:
        """How many are more urgent than this; they are the first ones."""
        late = self._older(self._shown_allowance, now)
        factor = self._greatest if late and self.urgency(self.since(late - 1), now) <= urgency else self._base
        guess = now - self._shown_allowance * (urgency / factor - 1.0)
        return self._count(lambda since: self.urgency(since, now) > urgency, guess)

    def ranks(self, now: float, start: int = 0, stop: int | None = None) -> Iterator[Rank]:
        """The cases from place `start` up to, not with, `stop`."""
        for since, minus_priority, case_id in self._cases.islice(start, stop):
            yield Rank(-self.urgency(since, now), since, minus_priority, case_id)

    def by_deadline(self) -> Iterator[Rank]:
        """All cases, ranked by their deadline and not by their urgency."""
        for since, minus_priority, case_id in self._cases:
            yield Rank(since + self.allowance, since, minus_priority, case_id)

    def _older(self, age: float, now: float) -> int:
        return self._count(lambda since: now - since >= age, now - age)

    def _count(self, holds: Callable[[float], bool], guess: float) -> int:
        """How many of the oldest cases it holds for, given about when it ceases to.

        The guess is found by a computation that rounds otherwise than `holds`, so it is checked.
        """
        cases = self._cases
        place = int(cases.bisect_left((guess,)))
        if (place == 0 or holds(cases[place - 1][0])) and (place == len(cases) or not holds(cases[place][0])):
            return place
        return bisect_left(range(len(cases)), True, key=lambda at: not holds(cases[at][0]))
