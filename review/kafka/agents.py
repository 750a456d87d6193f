"""Handles each event: reads it, changes the table, waits for Kafka, and tells the desk.

Delivery is at least once. Three pitfalls of Faust are avoided here:
- Faust restarts an agent that raised an exception *past* the event. So no exception may escape: an unreadable
  event is recorded in the table, and a failed table write is tried again until it succeeds. So is one that
  another agent came before: then the event is handled anew, by what the table says now.
- After a crash, the local store can be ahead of the changelog. So an unchanged entry is written again.
- The current event decides which partition a table write goes to. So pruning happens during an event.

A decision is published before the table says that it is settled, and every accepted step is in the audit log
before the table knows of it. So a desk that dies in between writes both again, with the same id, and none is
lost.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from faust.types import EventT, StreamT
from msgspec.structs import replace

from review.cases.entries import Entry, receive_case
from review.cases.expiry import Expiry
from review.cases.held import Held, HeldBecause, digest_of_held
from review.cases.keys import case_key, held_key, sweep_key
from review.cases.remains import Decided
from review.cases.state import CaseState
from review.cases.steps import Outcome, advance, digest, without_note
from review.kafka.forgetting import Forgetting
from review.kafka.intake import Intake, place
from review.kafka.repeats import Repeats, read_sighting
from review.kafka.table import ChangedMeanwhileError, Entries
from review.kafka.traces import CaseTraces
from review.retention.remarks import open_remark, with_key
from schemas.events import CaseEvent, ReviewCase, ReviewDecision
from schemas.headers import Trace
from schemas.ids import origin_of_case

log = structlog.get_logger()

PRUNE_EVERY_SECONDS = 3600.0
RETRY_SECONDS = 1.0

Publish = Callable[[ReviewDecision, int, Trace | None], Awaitable[object]]
Audit = Callable[[CaseEvent, CaseState | None], Awaitable[None]]
CameBack = Callable[[CaseEvent, Outcome, CaseState | None], None]


class Agents:
    """The four agents and their shared state."""

    def __init__(
        self,
        table: Entries,
        publish: Publish,
        came_back: CameBack,
        intake: Intake,
        forgetting: Forgetting,
        audit: Audit,
        repeats: Repeats,
        traces: CaseTraces,
        *,
        expiry: Expiry,
        publish_notes: bool = False,
    ) -> None:
        self._table = table
        self._publish = publish
        self._came_back = came_back
        self._intake = intake
        self._forgetting = forgetting
        self._audit = audit
        self._repeats = repeats
        self._traces = traces
        self._expiry = expiry
        self._publish_notes = publish_notes
        self._pruned: dict[int, float] = {}

    async def cases(self, stream: StreamT[bytes]) -> None:
        """Consume review cases until cancelled."""
        async for event in stream.events():
            await self._until_done(event, self.on_case)

    async def events(self, stream: StreamT[bytes]) -> None:
        """Consume the steps on cases until cancelled."""
        async for event in stream.events():
            await self._until_done(event, self.on_step)

    async def decisions(self, stream: StreamT[bytes]) -> None:
        """Watch the published decisions until cancelled: none of them has an effect on a case."""
        async for event in stream.events():
            await self._until_done(event, self.on_decision)

    async def subjects(self, stream: StreamT[bytes]) -> None:
        """Count repeated cases until cancelled."""
        async for event in stream.events():
            await self._until_done(event, self.on_subject)

    async def _until_done(
        self, event: EventT[bytes], step: Callable[[EventT[bytes]], Awaitable[None]]
    ) -> None:
        while True:
            try:
                await step(event)
                await self._prune(event.message.partition)
            except ChangedMeanwhileError:
                log.info("changed_meanwhile", **place(event))
            except Exception as error:  # noqa: BLE001 - an escaping exception would skip the event
                log.error("table_write_failed", error=type(error).__name__, **place(event))  # noqa: TRY400 - its traceback may quote text
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def on_case(self, event: EventT[bytes]) -> None:
        """A case arrives, or its record was deleted by its key."""
        if event.value is None and (key := _to_forget(event)) is not None:
            self._intake.count("review-case", await self._forgetting.on_null(key, event.message.partition))
            return
        case = await self._intake.read(event, ReviewCase)
        if case is None:
            return
        key = case_key(case.id)
        before = _case_entry(self._table.get(key))
        entry, outcome = receive_case(before, case, event.message.partition)
        entry = with_key(self._forgetting.arriving(before, entry, case))
        with self._traces.arriving(event, entry, outcome) as entry:
            await self._table.put(key, entry, over=before)
        if isinstance(entry, CaseState):
            await self._repeats.on_case(entry.case, entry.partition)
        self._intake.count("review-case", outcome)

    async def on_subject(self, event: EventT[bytes]) -> None:
        """A case is counted for its author or its conversation."""
        seen = read_sighting(event.value)
        believed = seen is not None and self._intake.is_signed(event)
        outcome = "not_believed"
        if seen is not None and believed:
            outcome = await self._repeats.on_sighting(seen, event.message.partition)
        self._intake.count("case-subject", outcome)

    async def on_step(self, event: EventT[bytes]) -> None:
        """A step on a case arrives: fold it, publish what it settles, and tell who waits for it."""
        step = await self._intake.read(event, CaseEvent)
        if step is None:
            return
        if not self._intake.is_signed(event):
            await self._intake.hold(event, step.case_id, "bad_signature", step.action, step.actor)
        elif step.action == "discarded":
            await self._discard(step)
        elif step.action == "erased":
            self._intake.count("case-event", await self._forgetting.on_erasure(step, event.message.partition))
        else:
            await self._fold(event, step)

    async def _discard(self, step: CaseEvent) -> None:
        if self._discards(step):
            await self._audit(step, None)
        # Another event may have been held while that was written down.
        if not self._discards(step):
            self._intake.count("case-event", "stale")
            self._came_back(step, "stale", None)
            return
        await self._table.prune([held_key(step.case_id)])
        self._intake.count("case-event", "discarded")
        self._came_back(step, "accepted", None)

    def _discards(self, step: CaseEvent) -> bool:
        """Whether it names what is held: sent or delivered again, it must not take what was held after it."""
        held = self._table.get(held_key(step.case_id))
        return isinstance(held, Held) and digest_of_held(held) == step.reason

    async def _fold(self, event: EventT[bytes], step: CaseEvent) -> None:
        key = case_key(step.case_id)
        before = _case_entry(self._table.get(key))
        if before is None:
            await self._intake.hold(event, step.case_id, "unknown_case", step.action, step.actor)
            self._came_back(step, "refused", None)
            return
        if isinstance(before, Decided):
            await self._table.put(key, before, over=before)
            self._intake.count("case-event", "stale")
            self._came_back(step, "stale", None)
            return
        state, outcome = advance(before, step)
        if outcome == "ahead":
            await self._intake.hold(event, step.case_id, "ahead_of_its_case", step.action, step.actor)
        elif outcome == "accepted":
            await self._audit(step, before)
            if step.action == "settled" and before.pending is not None:
                await self._tell(before, before.pending)
        await self._table.put(key, with_key(state), over=before)
        self._intake.count("case-event", step.action if outcome == "accepted" else outcome)
        self._came_back(step, outcome, state)

    async def _tell(self, state: CaseState, decision: ReviewDecision) -> None:
        """Publish a decision, unless it is one on a golden item: that is about no message of anybody."""
        if state.case.kind == "golden":
            return
        note = None
        if self._publish_notes:
            note = decision.note or open_remark(state.note, state.remarks_key, state.case.id)
        with self._traces.deciding(state) as trace:
            await self._publish(replace(decision, note=note), state.partition, trace)

    async def on_decision(self, event: EventT[bytes]) -> None:
        """A published decision arrives: hold it where no desk has published it so."""
        decision = await self._intake.read(event, ReviewDecision)
        if decision is None:
            return
        because = self._not_ours(event, decision)
        if because is None:
            self._intake.count("review-decision", "published")
        else:
            await self._intake.hold(event, decision.case_id, because, "decision", decision.reviewer)

    def _not_ours(self, event: EventT[bytes], decision: ReviewDecision) -> HeldBecause | None:
        if not self._intake.is_signed(event):
            return "bad_signature"
        entry = _case_entry(self._table.get(case_key(decision.case_id)))
        if entry is None:
            return "unknown_case"
        if isinstance(entry, Decided):
            return None if entry.decision_id == decision.id else "not_of_this_desk"
        if entry.pending and without_note(decision) == without_note(entry.pending):
            return None  # published, and the table does not say so yet
        for judged in entry.judgements:
            if judged.decision_id == decision.id and judged.published:
                return None if judged.digest == digest(decision) else "not_what_was_settled"
        return "not_of_this_desk"

    async def _prune(self, partition: int) -> None:
        now = time.monotonic()
        if now - self._pruned.get(partition, float("-inf")) < PRUNE_EVERY_SECONDS:
            return
        self._pruned[partition] = now
        until = datetime.now(UTC)
        if keys := [key for key in self._expiry.due(partition, until) if self._may_go(key, until)]:
            await self._table.prune(keys)
            log.info("markers_pruned", partition=partition, markers=len(keys))

    def _may_go(self, key: bytes, now: datetime) -> bool:
        # The table says so before those who watch it: a case that is opened again at this moment stays.
        entry = self._table.get(key)
        return entry is None or self._expiry.may_go(entry, now)


def _to_forget(event: EventT[bytes]) -> bytes | None:
    """The key of a null value that says what is forgotten; None where it is the key of nothing."""
    key = event.message.key or b""
    try:
        known = key == sweep_key(event.message.partition) or origin_of_case(key.decode())
    except UnicodeDecodeError:
        return None
    return key if known else None


def _case_entry(entry: Entry | None) -> CaseState | Decided | None:
    if entry is None or isinstance(entry, CaseState | Decided):
        return entry
    raise TypeError("a case's key cannot hold another kind of entry")
