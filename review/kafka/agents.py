"""Handles each event: reads it, changes the table, waits for Kafka, and tells the desk.

Delivery is at least once. Three pitfalls of Faust are avoided here:
- Faust restarts an agent that raised an exception *past* the event. So no exception may escape: an unreadable
  event is recorded in the table, and a failed table write is tried again until it succeeds.
- After a crash, the local store can be ahead of the changelog. So an unchanged entry is written again.
- The current event decides which partition a table write goes to. So pruning happens during an event.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog
from faust.types import EventT, StreamT

from review.cases.entries import (
    Decided,
    Entry,
    Open,
    Unreadable,
    case_key,
    expired,
    receive_case,
    receive_decision,
    unreadable_key,
)
from review.desk import Desk
from review.kafka.table import CaseTable
from review.metrics import DeskMetrics
from schemas.codec import CodecError, decode
from schemas.events import ReviewCase, ReviewDecision

log = structlog.get_logger()

PRUNE_EVERY_SECONDS = 3600.0
RETRY_SECONDS = 1.0

E = TypeVar("E", ReviewCase, ReviewDecision)


class Agents:
    """The two agents and their shared state."""

    def __init__(self, table: CaseTable, desk: Desk, metrics: DeskMetrics, *, keep_days: float) -> None:
        self._table = table
        self._desk = desk
        self._metrics = metrics
        self._keep = timedelta(days=keep_days)
        self._pruned: dict[int, float] = {}

    async def cases(self, stream: StreamT[bytes]) -> None:
        """Consume review cases until cancelled."""
        async for event in stream.events():
            await self._until_done(event, self._on_case)

    async def decisions(self, stream: StreamT[bytes]) -> None:
        """Consume review decisions until cancelled."""
        async for event in stream.events():
            await self._until_done(event, self._on_decision)

    async def _until_done(
        self, event: EventT[bytes], step: Callable[[EventT[bytes]], Awaitable[None]]
    ) -> None:
        while True:
            try:
                await step(event)
                await self._prune(event.message.partition)
            except Exception as error:  # noqa: BLE001 - an escaping exception would skip the event
                log.error("table_write_failed", error=type(error).__name__, **_place(event))  # noqa: TRY400 - its traceback may quote text
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _on_case(self, event: EventT[bytes]) -> None:
        case = await self._read(event, ReviewCase)
        if case is None:
            return
        key = case_key(case.id)
        entry, outcome = receive_case(_case_entry(self._table.get(key)), case, event.message.partition)
        await self._table.put(key, entry)
        self._metrics.events.labels("review-case", outcome).inc()

    async def _on_decision(self, event: EventT[bytes]) -> None:
        decision = await self._read(event, ReviewDecision)
        if decision is None:
            return
        key = case_key(decision.case_id)
        entry, outcome = receive_decision(
            _case_entry(self._table.get(key)), decision, event.message.partition
        )
        await self._table.put(key, entry)
        self._metrics.events.labels("review-decision", outcome).inc()
        self._desk.stands(decision.case_id, entry)

    async def _read(self, event: EventT[bytes], kind: type[E]) -> E | None:
        try:
            if event.value is None:
                detail = "null_value: the record has no value"
            else:
                return decode(kind, event.value)
        except CodecError as error:
            detail = f"{error.reason}: {error.detail}"
        message = event.message
        record = Unreadable(message.topic, message.partition, message.offset, detail, datetime.now(UTC))
        key = unreadable_key(message.topic, message.partition, message.offset)
        await self._table.put(key, self._table.get(key) or record)
        self._metrics.events.labels(
            "review-case" if kind is ReviewCase else "review-decision", "unreadable"
        ).inc()
        log.warning("event_unreadable", detail=detail, **_place(event))
        return None

    async def _prune(self, partition: int) -> None:
        now = time.monotonic()
        if now - self._pruned.get(partition, float("-inf")) < PRUNE_EVERY_SECONDS:
            return
        self._pruned[partition] = now
        keys = list(expired(self._table.items(), partition, datetime.now(UTC) - self._keep))
        await self._table.prune(keys)
        if keys:
            log.info("markers_pruned", partition=partition, markers=len(keys))


def _case_entry(entry: Entry | None) -> Open | Decided | None:
    if isinstance(entry, Unreadable):
        raise TypeError("a case's key cannot hold an unreadable record")
    return entry


def _place(event: EventT[bytes]) -> dict[str, str | int]:
    return {
        "topic": event.message.topic,
        "partition": event.message.partition,
        "offset": event.message.offset,
    }
