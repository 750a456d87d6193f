"""Which cases are wanted, and a page of them. Pure."""

from typing import Final, Generic, TypeVar

import msgspec

from review.cases.script import Script
from review.queue.answers import Place
from review.queue.waiting import State

MAX_PAGE: Final = 200


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which cases are wanted. A field of None does not filter, but claimed cases must be asked for.

    `mine`: in my hands, or handed to me. `script`: what somebody who reads this script may be able to read,
    so cases without letters, or without a text, as well.
    """

    task: str | None = None
    kind: str | None = None
    level: str | None = None
    state: State | None = None
    overdue: bool | None = None
    conversation: str | None = None
    mine: bool = False
    script: Script | None = None


Shown = TypeVar("Shown")


class Page(msgspec.Struct, Generic[Shown], frozen=True):
    """A slice of the queue, most urgent first. `total` counts every case that the filter admits.

    `places` say of each of the `cases`, in the same order, where it stands in the queue. `version` is for
    asking later what has changed since.
    """

    cases: list[Shown]
    total: int
    offset: int
    limit: int
    places: list[Place] = []
    version: int = 0
