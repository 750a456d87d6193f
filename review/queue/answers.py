"""What the queue answers: pages of cases, counts, and the backlog by level. Pure."""

import msgspec

from review.queue.waiting import State


class Place(msgspec.Struct, frozen=True):
    """A case on a page. `further` is how many other open cases its conversation has, on the page or not.

    `level`, `due`, `overdue` and `raised` follow from what the model found. They are None for those who are
    to judge without knowing it.
    """

    id: str
    task: str
    level: str | None
    state: State
    holder: str | None
    since: float
    due: float | None
    overdue: bool | None
    raised: bool | None
    conversation: str | None
    further: int
    takeable: bool


class Slice(msgspec.Struct, frozen=True):
    """A page of the queue, most urgent first. `total` counts every case that the filter admits.

    Cases of one conversation stand together, where the most urgent of them on this page has its place.
    """

    places: list[Place]
    total: int
    offset: int
    limit: int
    version: int


class Counts(msgspec.Struct, frozen=True):
    """How many cases a filter admits, and how they divide. Those of no known script have an empty one."""

    total: int
    overdue: int
    by_task: dict[str, int]
    by_kind: dict[str, int]
    by_level: dict[str, int]
    by_state: dict[str, int]
    by_script: dict[str, int]


class Backlog(msgspec.Struct, frozen=True):
    """All open cases of one level of a task, or of a kind without levels."""

    task: str
    kind: str
    level: str | None
    rank: float
    allowance: float
    severe: bool
    open: int
    claimed: int
    overdue: int
    oldest: float

    @property
    def name(self) -> str:
        """The level, or the kind where there is none."""
        return self.level or self.kind
