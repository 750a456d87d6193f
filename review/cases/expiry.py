"""Knows which entries have been kept long enough, without reading all of them. Pure.

The table tells it of every entry. What is to go is then at the front of a sorted list: of 100,000 entries,
reading each to find the few that are due would stop the desk for a third of a second per partition.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import NamedTuple

from sortedcontainers import SortedList

from review.cases.entries import Entry, kept_until


class Kept(NamedTuple):
    """When an entry may go, and which it is."""

    until: datetime
    key: bytes


class Expiry:
    """The entries that are kept for a time, by partition, the first to go first; no open cases."""

    def __init__(self, keep: timedelta) -> None:
        self._keep = keep
        self._sorted: defaultdict[int, SortedList] = defaultdict(SortedList)
        self._known: dict[bytes, tuple[int, Kept]] = {}

    def clear(self) -> None:
        """Forget everything: the table is about to tell all of it again."""
        self._sorted.clear()
        self._known.clear()

    def put(self, key: bytes, entry: Entry) -> None:
        """Note an entry as it is now."""
        self.drop(key)
        if (until := kept_until(entry, self._keep)) is not None:
            kept = Kept(until, key)
            self._known[key] = (entry.partition, kept)
            self._sorted[entry.partition].add(kept)

    def drop(self, key: bytes) -> None:
        """Forget one entry."""
        if (known := self._known.pop(key, None)) is not None:
            partition, kept = known
            self._sorted[partition].remove(kept)

    def due(self, partition: int, now: datetime) -> list[bytes]:
        """The keys of a partition's entries that may go by now, the longest due first."""
        return [kept.key for kept in self._sorted[partition].irange(maximum=Kept(now, b""))]

    def may_go(self, entry: Entry, now: datetime) -> bool:
        """Whether this entry may go by now: it may have changed since it was noted."""
        until = kept_until(entry, self._keep)
        return until is not None and until < now
