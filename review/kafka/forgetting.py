"""Has the broker forget words: tells it when that is due, and changes the table once it has been told.

    timer   what is due by the table      ->  a null value under the case's key, in the case's partition
    agent   that null value comes back    ->  the table keeps the marker alone

So a desk that is killed in between tells it once more, which changes nothing. A partition that was told
something gets another record once the topic's `max.compaction.lag.ms` has passed
(`review.retention.forgetting.broom_at`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from review.cases.entries import Entry, Erasure, Sweep
from review.cases.keys import erasure_key, sweep_key
from review.cases.remains import Decided
from review.cases.state import CaseState
from review.metrics import DeskMetrics
from review.retention.due import Due
from review.retention.forgetting import (
    broom_at,
    came_again,
    digest_of,
    erase,
    is_meant,
    parse_erasure,
    told,
)
from review.retention.remarks import with_key
from schemas.events import CaseEvent, ReviewCase

log = structlog.get_logger()

CASE: Final = b"case:"
SWEEP: Final = b"sweep:"
# What was told is told again after this time, where it has not come back by then.
AGAIN_AFTER: Final = timedelta(minutes=1)
_AT_ONCE: Final = 200

Tell = Callable[[bytes, int], Awaitable[object]]
# Writes down that a case was erased by this step, in a partition; None: that all of the partition's are.
Record = Callable[[CaseEvent, int, ReviewCase | None, str], Awaitable[None]]


class Entries(Protocol):
    """The table, as it is used here."""

    def get(self, key: bytes) -> Entry | None:
        """The entry under this key. None where another desk holds it."""

    def all_keys(self) -> Iterator[bytes]:
        """The key of every entry."""

    async def put(self, key: bytes, entry: Entry, *, over: Entry | None) -> None:
        """Write an entry over the one that was read. Raises ChangedMeanwhileError: it is another by now."""

    async def prune(self, keys: list[bytes]) -> None:
        """Delete these keys of the current event's partition."""

    async def compact(self, partition: int) -> None:
        """Take what was overwritten or deleted from this machine's disk."""


class Forgetting:
    """What the agents and the timer do about words whose time is over."""

    def __init__(
        self,
        table: Entries,
        due: Due,
        tell: Tell,
        record: Record,
        metrics: DeskMetrics,
        *,
        keep: timedelta,
        lags: tuple[timedelta, ...],
        clock: Callable[[], datetime],
    ) -> None:
        self._table = table
        self._due = due
        self._tell = tell
        self._record = record
        self._metrics = metrics
        self._keep = keep
        self._lags = lags
        self._clock = clock
        self._told: dict[bytes, datetime] = {}

    async def tell_what_is_due(self) -> None:
        """Tell the broker to forget what is due in the partitions held here. Called by a timer."""
        now = self._clock()
        self._told = {key: at for key, at in self._told.items() if now - at < AGAIN_AFTER}
        for key, partition in self._due.now(now):
            if key not in self._told:
                self._told[key] = now  # before it is told, since it may come back before that returns
                try:
                    await self._tell(key.removeprefix(CASE), partition)
                except BaseException:
                    self._told.pop(key, None)  # the next round tries again
                    raise
                self._metrics.forgotten.labels("sweep" if key.startswith(SWEEP) else "case").inc()

    async def on_null(self, key: bytes, partition: int) -> str:
        """A null value has come back. Returns what it did."""
        now = self._clock()
        self._told.pop(key, None)
        self._told.pop(CASE + key, None)
        if key == sweep_key(partition):
            await self._swept(partition, now)
            return "swept"
        before = self._table.get(CASE + key)
        after = told(before, now, self._keep)
        if before is not None:  # even where it is unchanged: `review.kafka.agents` says why
            await self._table.put(CASE + key, after or before, over=before)
        sweep = sweep_key(partition)
        await self._table.put(sweep, Sweep(partition, now), over=self._table.get(sweep))
        return "forgotten" if after else "not_due"

    async def _swept(self, partition: int, now: datetime) -> None:
        key = sweep_key(partition)
        before = self._table.get(key)
        if not isinstance(before, Sweep):
            return
        sweep = Sweep(partition, before.told_at, now)
        if broom_at(sweep, self._lags) is None:
            await self._table.prune([key])
            await self._table.compact(partition)
        else:
            await self._table.put(key, sweep, over=before)

    def arriving(
        self, before: Entry | None, entry: CaseState | Decided, case: ReviewCase
    ) -> CaseState | Decided:
        """What becomes of a case that has just arrived: it may be erased already, or be here already."""
        now = self._clock()
        if before is not None:
            return came_again(entry, now)
        if isinstance(entry, CaseState) and self._is_erased(case, entry.partition):
            return erase(entry, now)
        return entry

    def _is_erased(self, case: ReviewCase, partition: int) -> bool:
        keys = [erasure_key(partition, "message", digest_of("message", case.message_id))]
        if case.author_id is not None:
            keys.append(erasure_key(partition, "author", digest_of("author", case.author_id)))
        found = (self._table.get(key) for key in keys)
        return any(isinstance(entry, Erasure) and is_meant(entry, case) for entry in found)

    async def meant(self, erasure: Erasure) -> AsyncIterator[tuple[bytes, CaseState]]:
        """Yield the cases held here that an erasure takes the words of, with their keys."""
        for number, key in enumerate([key for key in self._table.all_keys() if key.startswith(CASE)]):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # the desk goes on answering
            state = self._table.get(key)
            if isinstance(state, CaseState) and is_meant(erasure, state.case):
                yield key, state

    async def on_erasure(self, step: CaseEvent, partition: int) -> str:
        """Somebody asked to erase a message or an author: erase what is here. Returns what it did."""
        parsed = parse_erasure(step.case_id)
        if parsed is None:
            return "refused"
        what, digest = parsed
        erasure = Erasure(what, digest, partition, step.at)
        asked = erasure_key(partition, what, digest)
        await self._table.put(asked, erasure, over=self._table.get(asked))
        still_open = found = 0
        async for key, state in self.meant(erasure):
            if state.partition != partition:
                continue
            # Written down before the ids are gone, and again where this event is delivered again.
            await self._record(step, partition, state.case, f"{what}; the case is {state.phase}")
            now = self._table.get(key)
            if isinstance(now, CaseState):  # it may have been forgotten while that was written down
                await self._table.put(key, with_key(erase(now, self._clock())), over=now)
            found += 1
            still_open += state.phase != "settled"
        await self._record(step, partition, None, f"partition {partition}: {found} cases, {still_open} open")
        log.info("erased", what=what, partition=partition, cases=found, open=still_open)
        return "erased"
