"""Reads each event before anything is done with it: what is no event, or not believed, is kept and counted.

A record that cannot be read is noted in the table by its place in Kafka. An event that nobody of ours has
signed, or that fits no case, is held for a lead to look at. Neither has any other effect.
"""

from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog
from faust.types import EventT

from review.cases.entries import Unreadable
from review.cases.held import Held, HeldBecause, HeldEvent
from review.cases.held import hold as held_with
from review.cases.keys import held_key, unreadable_key
from review.kafka.publishing import Signatures
from review.kafka.table import Entries
from review.kafka.traces import headers_of
from review.metrics import DeskMetrics
from schemas.codec import CodecError, decode
from schemas.events import CaseEvent, ReviewCase, ReviewDecision

log = structlog.get_logger()

_KINDS: Final = {ReviewCase: "review-case", CaseEvent: "case-event", ReviewDecision: "review-decision"}

E = TypeVar("E", ReviewCase, CaseEvent, ReviewDecision)


class Intake:
    """What the agents share of it: the table, who may sign, and the counts."""

    def __init__(self, table: Entries, signatures: Signatures, metrics: DeskMetrics) -> None:
        self._table = table
        self._signatures = signatures
        self._metrics = metrics

    async def read(self, event: EventT[bytes], kind: type[E]) -> E | None:
        """The event; None where it is none, which the table then says."""
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
        before = self._table.get(key)
        await self._table.put(key, before or record, over=before)
        self.count(_KINDS[kind], "unreadable")
        log.warning("event_unreadable", detail=detail, **place(event))
        return None

    def is_signed(self, event: EventT[bytes]) -> bool:
        """Whether somebody signed it whom this desk trusts."""
        message = event.message
        found = self._signatures.fault(message.topic, message.key, message.value, headers_of(event))
        return found is None

    async def hold(
        self, event: EventT[bytes], case_id: str, because: HeldBecause, action: str, actor: str
    ) -> None:
        """Keep an event that is not believed, for a lead. Delivered again it counts once."""
        message, key = event.message, held_key(case_id)
        before = self._table.get(key)
        record = HeldEvent(message.topic, message.offset, because, action, actor, datetime.now(UTC))
        held = held_with(before if isinstance(before, Held) else None, case_id, message.partition, record)
        await self._table.put(key, held, over=before)
        self._metrics.held.labels(because).inc()
        log.warning("event_held", because=because, action=action, **place(event))

    def count(self, kind: str, outcome: str) -> None:
        """Count an event and what became of it."""
        self._metrics.events.labels(kind, outcome).inc()


def place(event: EventT[bytes]) -> dict[str, str | int]:
    """Where in Kafka an event stands, for the log."""
    return {
        "topic": event.message.topic,
        "partition": event.message.partition,
        "offset": event.message.offset,
    }
