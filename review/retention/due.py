"""Which cases and partitions are due, so that no look at the clock reads the whole table."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from review.cases.entries import Entry, Sweep
from review.retention.forgetting import broom_at, forget_at


class Due:
    """A watcher of the table: what the broker is to be told, when, and in which partition."""

    def __init__(self, keep: timedelta, lags: tuple[timedelta, ...]) -> None:
        self._keep = keep
        self._lags = lags
        self._at: dict[bytes, tuple[datetime, int]] = {}

    def clear(self) -> None:
        """Forget everything: the table is about to tell all of it again."""
        self._at.clear()

    def put(self, key: bytes, entry: Entry) -> None:
        """Note an entry as it is now."""
        due = broom_at(entry, self._lags) if isinstance(entry, Sweep) else None
        at = due or forget_at(entry, self._keep)
        if at is None:
            self._at.pop(key, None)
        else:
            self._at[key] = at, entry.partition

    def drop(self, key: bytes) -> None:
        """Forget one entry."""
        self._at.pop(key, None)

    def now(self, now: datetime) -> Iterator[tuple[bytes, int]]:
        """Yield key and partition of what is due, the longest due first."""
        due = sorted((at, key, partition) for key, (at, partition) in self._at.items() if at <= now)
        yield from ((key, partition) for _, key, partition in due)
