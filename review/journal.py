"""Brings a step to the log, and waits until it has come back from there.

    1. produce the event    acks=all, to the partition that its case came from
    2. wait for it to come back through the consumer, where the agent accepts or refuses it
    3. answer               the case's new state, or why it was refused

So an answer is never ahead of the log: what was accepted survives this process and the broker. Where Kafka is
too slow, nobody is told that the step counts, and nothing stays locked: the step counts if it arrives before
another one at the same revision does.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from review.cases.state import CaseState
from review.cases.steps import Outcome
from review.errors import ConflictError, NotConfirmedError
from schemas.events import CaseEvent

log = structlog.get_logger()

Produce = Callable[[CaseEvent, int], Awaitable[object]]
Told = tuple[Outcome, CaseState | None]


class Journal:
    """The steps that are on their way, by the id of their event."""

    def __init__(self, produce: Produce, *, confirm_seconds: float) -> None:
        self._produce = produce
        self._confirm_seconds = confirm_seconds
        self._awaited: dict[str, tuple[CaseEvent, asyncio.Future[Told]]] = {}

    async def write(self, event: CaseEvent, partition: int) -> CaseState | None:
        """Write a step, and return the case's state after it; None where it has none here.

        Raises ConflictError: another step came first. NotConfirmedError: Kafka did not answer in time.
        """
        if event.id in self._awaited:
            raise ConflictError("the same step is on its way already")
        came_back: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._awaited[event.id] = (event, came_back)
        sending = asyncio.ensure_future(self._produce(event, partition))
        sending.add_done_callback(lambda task: _sent(event, came_back, task))
        try:
            async with asyncio.timeout(self._confirm_seconds):
                outcome, state = await came_back
        except TimeoutError:
            log.warning("step_not_confirmed", case=event.case_id, action=event.action)
            raise NotConfirmedError(
                "Kafka has not confirmed this yet: look at the case again before you go on"
            ) from None
        finally:
            del self._awaited[event.id]
        if outcome != "accepted":
            raise ConflictError("somebody else took a step on this case at the same moment: look at it again")
        return state

    def came_back(self, event: CaseEvent, outcome: Outcome, state: CaseState | None) -> None:
        """Called by the agent once the table holds what became of an event: wakes whoever waits for it."""
        sent, waiting = self._awaited.get(event.id, (None, None))
        if waiting is not None and sent == event and not waiting.done():
            waiting.set_result((outcome, state))


def _sent(event: CaseEvent, came_back: asyncio.Future[Told], sending: asyncio.Future[object]) -> None:
    fault = asyncio.CancelledError() if sending.cancelled() else sending.exception()
    if fault is None or came_back.done():
        return
    log.warning("step_not_sent", case=event.case_id, action=event.action, error=type(fault).__name__)
    came_back.set_exception(NotConfirmedError("Kafka did not take this step; the case is as it was"))
