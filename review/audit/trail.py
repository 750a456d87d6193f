"""Writes down what people do at the desk, reading included, before it has any effect.

A record is awaited: all replicas have it before a text is shown. Where Kafka does not confirm in time, the
answer is a 503 and no text. A record names people, cases, bundles and calibrations; there is no text in it,
and no note.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import structlog

from review.cases.state import CaseState
from review.errors import NotAuditedError
from review.people import Person
from schemas.events import AuditRecord, CaseEvent, ReviewCase

log = structlog.get_logger()

Write = Callable[[AuditRecord], Awaitable[object]]

MAX_DETAIL: Final = 1024
LISTED_EVERY_S: Final = 300.0
_MOST_LISTED: Final = 10_000


class Trail:
    """The audit log of one desk. `write` returns once all replicas have the record."""

    def __init__(
        self,
        write: Write,
        *,
        confirm_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        """`refused` is called for each record that could not be written."""
        self._write = write
        self._refused = refused
        self._confirm_seconds = confirm_seconds
        self._clock = clock
        self._listed: dict[tuple[str, str], float] = {}

    async def record(
        self, person: Person, action: str, case: ReviewCase | None = None, *, detail: str | None = None
    ) -> None:
        """Write down that `person` does `action`, and return once that is certain.

        `action` is one word, such as `revealed`; `detail` says more in words or figures, and never quotes.

        Raises NotAuditedError: Kafka has not confirmed it, so what was to happen must not.
        """
        await self.write_down(person.id, action, case, roles=sorted(person.roles), detail=detail)

    async def write_down(
        self,
        actor: str,
        action: str,
        case: ReviewCase | None = None,
        *,
        roles: Sequence[str] = (),
        detail: str | None = None,
        once: str | None = None,
    ) -> None:
        """The same for somebody who is not signed in here. A record with an id `once` counts only once.

        Raises NotAuditedError: as `record` does.
        """
        record = AuditRecord(
            id=f"audit:{once or uuid4()}",
            at=datetime.now(UTC),
            actor=actor,
            roles=list(roles),
            action=action,
            case_id=case.id if case else None,
            message_id=case.message_id if case else None,
            task=case.task if case else None,
            bundle=case.bundle if case else None,
            calibration=case.thresholds.calibration if case and case.thresholds else None,
            scored_by=case.scored_by if case else None,
            detail=_printable(detail)[:MAX_DETAIL] if detail else None,
        )
        try:
            async with asyncio.timeout(self._confirm_seconds):
                await self._write(record)
        except Exception as error:  # noqa: BLE001 - whatever the reason is, it is not written down
            log.warning("not_audited", action=action, error=type(error).__name__)
            self._refused()
            raise NotAuditedError(
                "this could not be written to the audit log, so it was not done: try again in a moment"
            ) from None

    async def listed(self, person: Person, detail: str) -> None:
        """Write down that `person` looks at a list, `detail`; once in five minutes, since pages refresh.

        Raises NotAuditedError: as `record` does.
        """
        now, what = self._clock(), (person.id, detail)
        if now - self._listed.get(what, float("-inf")) < LISTED_EVERY_S:
            return
        await self.record(person, "listed", detail=detail)
        self._listed = {each: at for each, at in self._listed.items() if now - at < LISTED_EVERY_S}
        if len(self._listed) < _MOST_LISTED:
            self._listed[what] = now


def _printable(text: str) -> str:
    # An address may hold anything, and an auditor's terminal would obey what no one can see.
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def revealed(trail: Trail) -> Callable[[CaseState, Person, str | None], Awaitable[None]]:
    """What the desk awaits before a text leaves it, perhaps to be read beside another case."""

    async def before_reveal(state: CaseState, person: Person, beside: str | None) -> None:
        await trail.record(person, "revealed", state.case, detail=beside and f"beside {beside}")

    return before_reveal


def erased(trail: Trail) -> Callable[[CaseEvent, int, ReviewCase | None, str], Awaitable[None]]:
    """What is awaited before a case is erased, and once a partition's cases all are."""

    async def record(step: CaseEvent, partition: int, case: ReviewCase | None, detail: str) -> None:
        once = f"{step.id}:{case.id if case else partition}"
        await trail.write_down(step.actor, "erased", case, detail=detail, once=once)

    return record


def stepped(trail: Trail) -> Callable[[CaseEvent, CaseState | None], Awaitable[None]]:
    """What is awaited before an accepted step on a case takes effect."""

    async def record(step: CaseEvent, before: CaseState | None) -> None:
        case = before.case if before else None
        # What is held is perhaps on no case: then the detail says which one was meant.
        detail = _said(step) if case else step.case_id
        await trail.write_down(step.actor, step.action, case, detail=detail, once=step.id)

    return record


def _said(step: CaseEvent) -> str | None:
    """The finding and level of a decision, the word of a reason, whom a case was handed to. Never a note."""
    decision = step.decision
    words = [decision.finding, decision.severity] if decision else []
    words += [step.reason, f"to {step.reader}" if step.reader else None]
    return " ".join(word for word in words if word) or None
