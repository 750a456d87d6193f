"""Finds a place among 100,000 cases without walking to it. Pure.

A part is a run of a class. How many cases of each part are more urgent than a number is found by halving the
part; which number leaves the wanted count in front, by halving the urgencies.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from math import sqrt
from typing import Final, NamedTuple

from review.queue.classes import CaseClass, Rank

# A page that begins before this place is found by walking; a later one by halving first.
WALKED: Final = 500
HALVINGS: Final = 80


class Part(NamedTuple):
    """The cases of a class from place `start` up to, not with, `stop`."""

    cases: CaseClass
    start: int
    stop: int


def ranks_from(parts: list[Part], offset: int, now: float) -> Iterator[Rank]:
    """The merge of the parts, from this place on."""
    if offset > WALKED:
        starts = near(parts, offset, now)
        offset -= passed(parts, starts)
        parts = starts
    merged = merge(*(part.cases.ranks(now, part.start, part.stop) for part in parts))
    return islice(merged, offset, None)


def place_of(rank: Rank, parts: list[Part], now: float) -> int:
    """How many cases of the parts come before this rank."""
    starts = more_urgent_passed(parts, -rank.first, now)
    place = passed(parts, starts)
    for other in merge(*(part.cases.ranks(now, part.start, part.stop) for part in starts)):
        if other >= rank:
            break
        place += 1
    return place


def passed(parts: list[Part], starts: list[Part]) -> int:
    """How many cases the same parts have lost in front."""
    return sum(start.start - part.start for start, part in zip(starts, parts, strict=True))


def more_urgent_passed(parts: Iterable[Part], urgency: float, now: float) -> list[Part]:
    """The parts without what is more urgent than this."""
    return [
        Part(cases, min(max(cases.above(urgency, now), start), stop), stop) for cases, start, stop in parts
    ]


def near(parts: list[Part], offset: int, now: float) -> list[Part]:
    """The parts without their first cases: at most `offset` of the most urgent ones, and nearly as many."""
    high = max((cases.urgency(cases.since(start), now) for cases, start, _ in parts), default=1.0)
    low = min((cases.urgency(cases.since(stop - 1), now) for cases, _, stop in parts), default=1.0)
    best = parts
    for _ in range(HALVINGS):
        middle = sqrt(low * high)
        starts = more_urgent_passed(parts, middle, now)
        if (before := passed(parts, starts)) > offset:
            low = middle
            continue
        high, best = middle, starts
        if offset - before <= WALKED:
            break
    return best
