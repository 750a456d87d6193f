"""What has changed in the queue since somebody last looked: for pages that stay open. Pure."""

from collections import deque
from typing import Final, NamedTuple

import msgspec

from review.queue.waiting import Waiting

REMEMBERED: Final = 4096


class Change(NamedTuple):
    """One change: the entry before and after it, None where there was none or is none."""

    version: int
    id: str
    before: Waiting | None
    after: Waiting | None


class Changes(msgspec.Struct, frozen=True):
    """The changes that a filter sees, up to `version`.

    `complete` is false where the version asked for is too old (or of another run of the desk) to say which:
    reload.
    """

    version: int
    arrived: list[str]
    left: list[str]
    altered: list[str]
    complete: bool = True

    @property
    def none(self) -> bool:
        """Whether what was shown is still what there is."""
        return self.complete and not (self.arrived or self.left or self.altered)


class ChangeLog:
    """The latest changes, numbered on from `first`, so that numbers of an earlier run are known as such."""

    def __init__(self, first: int = 0) -> None:
        self.version = first
        self._changes: deque[Change] = deque(maxlen=REMEMBERED)

    def add(self, case_id: str, before: Waiting | None, after: Waiting | None) -> None:
        """Note a change."""
        self.version += 1
        self._changes.append(Change(self.version, case_id, before, after))

    def since(self, version: int) -> list[Change] | None:
        """The changes after this version, oldest first; None where they are not known any more."""
        if version == self.version:
            return []
        oldest = self._changes[0].version if self._changes else self.version + 1
        if not oldest - 1 <= version <= self.version:
            return None
        return [change for change in self._changes if change.version > version]
