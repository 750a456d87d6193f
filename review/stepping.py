"""How a step is made: its event is sent and awaited, one at a time for a case. And the desk's own steps."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import structlog
from msgspec.structs import replace

from review.cases.state import CaseState
from review.cases.steps import DOUBLE_REVIEW, refers
from review.errors import ConflictError, DecisionRefusedError, NotConfirmedError
from review.journal import Journal
from review.people import DESK
from review.present import Present, awaits_second_reader
from review.retention.remarks import seal_remark
from review.sight import BeforeReveal, Rules, Sight, Table
from schemas.events import CaseEvent, ReviewDecision
from schemas.ids import case_event_id
from schemas.vocabulary import CaseAction

log = structlog.get_logger()


def utc_now() -> datetime:
    """The time on this machine's clock."""
    return datetime.now(UTC)


class Stepping(Sight):
    """Makes steps, and ends what has run out."""

    def __init__(
        self,
        table: Table,
        present: Present,
        journal: Journal,
        rules: Rules,
        clock: Callable[[], datetime],
        before_reveal: BeforeReveal,
    ) -> None:
        super().__init__(table, present, rules, before_reveal)
        self._journal = journal
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting_for: Counter[str] = Counter()
        self._unconfirmed: set[str] = set()

    async def end_overdue(self) -> None:
        """End what has run out: leases, undo windows and hand-overs of the partitions held here."""
        overdue = self._present.overdue()
        self._unconfirmed.intersection_update(overdue)
        # A case whose step never comes back must not hold up those behind it: it is tried last from now on.
        for case_id in sorted(overdue, key=self._unconfirmed.__contains__):
            try:
                await self._end(case_id)
                self._unconfirmed.discard(case_id)
            except NotConfirmedError:
                self._unconfirmed.add(case_id)
                return  # perhaps Kafka is not there: the next round tries again
            except DecisionRefusedError as error:
                log.warning("overdue_not_ended", case=case_id, error=type(error).__name__)

    async def _end(self, case_id: str) -> None:
        async with self._lock(case_id):
            state = self._state(case_id)
            if not self._present.is_overdue(case_id):
                return
            lease = state.lease.id if state.lease and state.phase == "claimed" else None
            action: CaseAction = "expired"
            reason = None
            if state.phase == "decided":
                action = "referred" if refers(state) else "settled"
            elif awaits_second_reader(state):
                action = "referred"
            elif state.phase == "settled":
                action, reason = "reopened", DOUBLE_REVIEW
            event = self._event(state, action, DESK, lease=lease, reason=reason, decision=state.pending)
            await self._write(event, state)

    async def _keyed(self, state: CaseState, remark: str | None) -> CaseState:
        """The state with the key that seals `remark`. A case of a desk before version 2 of events has none.

        The agent gives it one with any step that comes back: here with one that no arrow leads on from, since
        such a case is claimed or settled. Raises NotConfirmedError.
        """
        if remark is None or state.remarks_key is not None:
            return state
        with suppress(ConflictError):  # it is refused, as it is meant to be
            await self._write(self._event(state, "expired", DESK), state)
        return replace(state, remarks_key=self._state(state.case.id).remarks_key)

    async def _write(self, event: CaseEvent, state: CaseState) -> CaseState:
        after = await self._journal.write(event, state.partition)
        assert after is not None  # noqa: S101 - an event on a case that is here was accepted
        return after

    def _event(
        self,
        state: CaseState,
        action: CaseAction,
        actor: str,
        *,
        lease: str | None = None,
        until: datetime | None = None,
        reader: str | None = None,
        reason: str | None = None,
        decision: ReviewDecision | None = None,
        remark: str | None = None,
    ) -> CaseEvent:
        case_id, revision = state.case.id, state.revision
        made = case_event_id(case_id, revision, action, actor, lease)
        return CaseEvent(
            made,
            case_id,
            revision,
            action,
            actor,
            self._clock(),
            lease,
            until,
            reader,
            reason,
            decision,
            _sealed(state, remark),
        )

    @asynccontextmanager
    async def _lock(self, name: str) -> AsyncIterator[None]:
        # Two steps at one moment would both be sent, and one refused. Waiting for one's turn is friendlier.
        self._waiting_for[name] += 1
        try:
            async with self._locks.setdefault(name, asyncio.Lock()):
                yield
        finally:
            self._waiting_for[name] -= 1
            if not self._waiting_for[name]:
                del self._waiting_for[name], self._locks[name]


def _sealed(state: CaseState, remark: str | None) -> str | None:
    """What the log may hold of what somebody typed."""
    if remark is None:
        return None
    assert state.remarks_key is not None  # noqa: S101 - `_keyed` was awaited
    return seal_remark(remark, state.remarks_key, state.case.id)
