"""Decides in which order people see cases, and which of them a page shows. Pure."""

from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

from review.cases.entries import CaseState
from schemas.events import ReviewCase

MAX_PAGE = 200


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which cases to show. A field of None does not filter."""

    task: str | None = None
    kind: str | None = None

    def admits(self, case: ReviewCase) -> bool:
        """Whether the filter admits this case."""
        return self.task in {None, case.task} and self.kind in {None, case.kind}


Shown = TypeVar("Shown")


class Page(msgspec.Struct, Generic[Shown], frozen=True):
    """A slice of the queue. `total` counts every case the filter admits."""

    cases: list[Shown]
    total: int
    offset: int
    limit: int | None


def urgency(case: ReviewCase) -> tuple[float, float, str]:
    """The sort key: highest priority first, then oldest first, then by id to make the order total."""
    return (-case.priority, case.opened_at.timestamp(), case.id)


def page(states: Iterable[CaseState], wanted: Filter, *, offset: int, limit: int | None) -> Page[CaseState]:
    """The cases at `offset` … `offset + limit` of the filtered queue; all from `offset` without a limit."""
    found = sorted(
        (state for state in states if wanted.admits(state.case)), key=lambda each: urgency(each.case)
    )
    end = None if limit is None else offset + limit
    return Page(found[offset:end], len(found), offset, limit)
