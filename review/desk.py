"""The review desk: shows the table to people, and brings a decision from a click to the topic.

A decision is taken in four steps, and the answer reports the outcome of the third:

    1. lock the case        (from here on, a second click or a colleague's gets 409)
    2. produce the event    acks=all, to the partition the case came from
    3. wait for it to come back through the consumer: the first decision in the log is valid
    4. answer               201 if it is ours, 409 if another was first, 503 if Kafka is too slow

At step 3 the case leaves everybody's queue at once. After a 503 it stays locked until Kafka has answered:
either the decision is valid after all, or the producer gives up and the case is unlocked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import structlog

from review.cases.entries import Decided, Open, Unreadable, case_key, marker
from review.cases.form import Form, to_decision
from review.errors import AlreadyDecidedError, NotConfirmedError, UnknownCaseError
from review.kafka.table import CaseTable
from review.queue.order import Filter, Page, page, severity_levels
from schemas.events import ReviewDecision

log = structlog.get_logger()

Produce = Callable[[ReviewDecision, int], Awaitable[object]]


class Overview(msgspec.Struct, frozen=True):
    """A snapshot of the table: a page of the queue, with the counts and choices shown around it."""

    page: Page
    tasks: list[str]
    levels: dict[str, tuple[str, ...]]
    unreadable: int
    last_unreadable: Unreadable | None


class Desk:
    """Reads the table and takes decisions."""

    def __init__(self, table: CaseTable, produce: Produce, *, confirm_seconds: float) -> None:
        self._table = table
        self._produce = produce
        self._confirm_seconds = confirm_seconds
        self._awaited: dict[str, asyncio.Future[Decided]] = {}

    def page(self, wanted: Filter, *, offset: int, limit: int) -> Page:
        """A page of the queue."""
        return page(self._table.open_cases(), wanted, offset=offset, limit=limit)

    def overview(self, wanted: Filter, *, offset: int, limit: int) -> Overview:
        """Everything the HTML page shows, in one pass over the table."""
        opened: list[Open] = []
        unreadable: list[Unreadable] = []
        for entry in self._table.entries():
            match entry:
                case Open():
                    opened.append(entry)
                case Unreadable():
                    unreadable.append(entry)
                case Decided():
                    pass
        shown = page(opened, wanted, offset=offset, limit=limit)
        return Overview(
            page=shown,
            tasks=sorted({entry.case.task for entry in opened} | ({wanted.task} if wanted.task else set())),
            levels={case.id: tuple(severity_levels(case)) for case in shown.cases},
            unreadable=len(unreadable),
            last_unreadable=max(unreadable, key=lambda record: record.seen_at, default=None),
        )

    def find(self, case_id: str) -> Open | Decided:
        """One case, open or decided. Raises UnknownCaseError."""
        entry = self._table.get(case_key(case_id))
        if entry is None or isinstance(entry, Unreadable):
            raise UnknownCaseError("no such case: it was never here, or its marker has been pruned")
        return entry

    async def decide(self, case_id: str, form: Form) -> ReviewDecision:
        """Take a decision. Returns it once it is valid.

        Raises UnknownCaseError, AlreadyDecidedError, InvalidFormError or NotConfirmedError.
        """
        entry = self.find(case_id)
        if isinstance(entry, Decided):
            raise AlreadyDecidedError(f"already decided by {entry.reviewer}")
        if case_id in self._awaited:
            raise AlreadyDecidedError("a decision on this case is on its way to Kafka")
        levels = severity_levels(entry.case)
        decision = to_decision(form, entry.case, levels, datetime.now(UTC))
        stands = await self._send(decision, entry.partition)
        if stands != marker(decision, entry.partition):
            raise AlreadyDecidedError(f"already decided by {stands.reviewer}")
        return decision

    async def _send(self, decision: ReviewDecision, partition: int) -> Decided:
        came_back = asyncio.get_running_loop().create_future()
        self._awaited[decision.case_id] = came_back
        sending = asyncio.ensure_future(self._produce(decision, partition))
        sending.add_done_callback(lambda task: self._sent(decision, came_back, task))
        try:
            async with asyncio.timeout(self._confirm_seconds):
                return await asyncio.shield(came_back)
        except TimeoutError:
            log.warning("decision_not_confirmed", case=decision.case_id, seconds=self._confirm_seconds)
            raise NotConfirmedError(
                "Kafka has not confirmed the decision yet; look at the case again before deciding anew"
            ) from None

    def _sent(
        self, decision: ReviewDecision, came_back: asyncio.Future[Decided], task: asyncio.Future[object]
    ) -> None:
        fault = asyncio.CancelledError() if task.cancelled() else task.exception()
        if fault is None or came_back.done():
            return
        log.warning("decision_not_sent", case=decision.case_id, error=type(fault).__name__)
        self._awaited.pop(decision.case_id, None)
        came_back.set_exception(NotConfirmedError("Kafka did not take the decision; the case is still open"))
        came_back.exception()  # read the exception, since nobody else will where the click has timed out

    def stands(self, case_id: str, decided: Decided) -> None:
        """Called by the agent when a decision has come back: wakes the request that waits for this case."""
        waiting = self._awaited.pop(case_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(decided)
