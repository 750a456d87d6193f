"""Decides in which order people see cases, and which of them a page shows. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from review.cases.entries import Open
from schemas.events import ReviewCase

MAX_PAGE = 200


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which cases to show. A field of None does not filter."""

    task: str | None = None
    kind: str | None = None

    def admits(self, case: ReviewCase) -> bool:
        """Whether the filter admits this case."""
        return self.task in {None, case.task} and self.kind in {None, case.kind}


class Page(msgspec.Struct, frozen=True):
    """A slice of the queue. `total` counts every case the filter admits."""

    cases: list[ReviewCase]
    total: int
    offset: int
    limit: int


def urgency(case: ReviewCase) -> tuple[float, float, str]:
    """The sort key: highest priority first, then oldest first, then by id to make the order total."""
    return (-case.priority, case.opened_at.timestamp(), case.id)


def page(entries: Iterable[Open], wanted: Filter, *, offset: int, limit: int) -> Page:
    """The cases at `offset` … `offset + limit` of the filtered queue."""
    cases = sorted((entry.case for entry in entries if wanted.admits(entry.case)), key=urgency)
    return Page(cases[offset : offset + limit], len(cases), offset, limit)


def severity_levels(case: ReviewCase) -> Sequence[str]:
    """The levels that a reviewer may choose, least severe first, as the worker wrote them on the case.

    A case of a version before 4 has them only where it has a severity. Empty where nobody knows them.
    """
    return tuple(case.levels or (case.severity.scores if case.severity else ()))
