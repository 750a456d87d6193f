"""The only door to the cases: every page, API call and script goes through `Desk`.

Every step can raise UnknownCaseError, ConflictError and NotConfirmedError, beside what its docstring names.

Each step is checked here for the person who wants it (`review.cases.permits`), sent as an event, and answered
once it has come back from the log (`review.journal`). What it does to the case is decided by the fold
(`review.cases.steps`) in the agent, and nowhere else.
"""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

from review.cases import permits
from review.cases.form import Form, to_decision
from review.cases.held import Held, digest_of_held
from review.cases.keys import held_key
from review.cases.state import CaseState
from review.cases.steps import BY_LEAD
from review.cases.views import BLIND, CaseView, Claim
from review.errors import (
    DecisionRefusedError,
    InvalidFormError,
    NotAllowedError,
    NotConfirmedError,
    TooManyClaimsError,
    UnknownCaseError,
)
from review.journal import Journal
from review.people import Person
from review.present import Limits, Present
from review.queue.order import Filter
from review.queue.skips import SKIP_REASONS
from review.sight import BeforeReveal, Rules, Table, unrecorded
from review.stepping import Stepping, utc_now
from schemas.events import CaseEvent
from schemas.ids import case_event_id
from schemas.vocabulary import CaseAction

MAX_REASON: Final = 120
MAX_READER: Final = 256


class Desk(Stepping):
    """Shows cases to people, and takes their steps."""

    def __init__(
        self,
        table: Table,
        present: Present,
        journal: Journal,
        rules: Rules,
        limits: Limits,
        *,
        clock: Callable[[], datetime] = utc_now,
        before_reveal: BeforeReveal = unrecorded,
    ) -> None:
        super().__init__(table, present, journal, rules, clock, before_reveal)
        self._limits = limits

    async def claim(self, case_id: str, person: Person) -> Claim:
        """Take a case. Raises every DecisionRefusedError but those of forms and leases."""
        async with self._lock(f"person {person.id}"), self._lock(case_id):
            state = self._state(case_id)
            permits.may_claim(state, person)
            self._may_hold_one_more(person)
            until = self._clock() + self._limits.lease
            event = self._event(state, "claimed", person.id, lease=secrets.token_hex(8), until=until)
            return self._claim(await self._write(event, state), person)

    async def claim_next(self, person: Person, wanted: Filter) -> Claim | None:
        """Take the case that is this person's next (`review.queue.take`). None where there is none.

        Raises NotAllowedError, TooManyClaimsError, NotConfirmedError.
        """
        permits.works_here(person)
        self._may_ask(wanted, person)
        # Samples come whatever the state: where nothing else can, a sample would be known as one.
        asks = wanted.kind in BLIND or wanted.state not in {None, "waiting"}
        if asks and not person.may("lead", "auditor"):
            raise NotAllowedError("quality samples and golden items are read without knowing that they are")
        self._may_hold_one_more(person)
        queue, failed = self._present.queue, list[str]()
        try:
            while (case_id := queue.take_next(person, wanted)) is not None:
                try:
                    return await self.claim(case_id, person)
                except (TooManyClaimsError, NotConfirmedError):
                    failed.append(case_id)
                    raise
                except DecisionRefusedError:
                    # A colleague's claim came first. It stays promised to nobody until this is over, so that
                    # it is not given out again here.
                    failed.append(case_id)
            return None
        finally:
            for case_id in failed:
                queue.give_back(case_id)

    def _may_hold_one_more(self, person: Person) -> None:
        if sum(1 for _ in self._present.of(person.id, "claimed")) >= self._rules.claims:
            raise TooManyClaimsError("you have a case already: decide it or give it back first")

    async def extend(self, case_id: str, lease: str, person: Person) -> Claim:
        """Keep a case longer. Raises UnknownCaseError, ClosedCaseError, StaleLeaseError."""
        async with self._lock(case_id):
            state = self._state(case_id)
            permits.holds(state, lease, person)
            until = self._clock() + self._limits.lease
            event = self._event(state, "extended", person.id, lease=lease, until=until)
            return self._claim(await self._write(event, state), person)

    async def release(
        self,
        case_id: str,
        lease: str,
        person: Person,
        *,
        reason: str | None = None,
        reader: str | None = None,
    ) -> CaseView:
        """Give a case back, with a reason why it is skipped, or hand it over to `reader`.

        Raises UnknownCaseError, ClosedCaseError, StaleLeaseError, ConflictError, NotConfirmedError.
        """
        async with self._lock(case_id):
            state = self._state(case_id)
            permits.may_release(state, lease, person)
            if reader is not None and not _is_id(reader):
                raise InvalidFormError({"reader": f"must be 1 to {MAX_READER} printable characters"})
            if reader is not None and state.stage != "lead" and reader in state.readers:
                raise InvalidFormError({"reader": "has judged this case already"})
            until = self._clock() + self._limits.handover if reader else None
            typed = _typed(reason)
            word = typed if typed in SKIP_REASONS else None
            remark = None if word else typed
            event = self._event(
                await self._keyed(state, remark),
                "released",
                person.id,
                lease=lease,
                reason=word,
                reader=reader,
                until=until,
                remark=remark,
            )
            return self._view(await self._write(event, state), person)

    async def decide(self, case_id: str, form: Form, person: Person) -> CaseView:
        """Decide a case that this person holds. It can be undone until the view's `undo_until`.

        Raises UnknownCaseError, ClosedCaseError, StaleLeaseError, InvalidFormError, ConflictError …
        """
        async with self._lock(case_id):
            state = self._state(case_id)
            permits.holds(state, form.lease, person)
            now = self._clock()
            decision = to_decision(form, state, person.id, now)
            event = self._event(
                await self._keyed(state, form.note),
                "decided",
                person.id,
                lease=form.lease,
                until=now + self._limits.undo,
                reason=BY_LEAD if person.may("lead") else None,
                decision=decision,
                remark=form.note,
            )
            return self._view(await self._write(event, state), person)

    async def undo(self, case_id: str, person: Person) -> Claim:
        """Take back a decision that is not published yet: the case is this person's again.

        Raises UnknownCaseError, ClosedCaseError, ConflictError, NotAllowedError, NotConfirmedError.
        """
        async with self._lock(case_id):
            state = self._state(case_id)
            lease = permits.may_undo(state, person)
            until = self._clock() + self._limits.lease
            event = self._event(state, "undone", person.id, lease=lease.id, until=until)
            return self._claim(await self._write(event, state), person)

    async def reopen(self, case_id: str, person: Person, reason: str) -> CaseView:
        """Ask another reader about a decided case. Raises NotAllowedError, ConflictError."""
        return await self._again(case_id, person, "reopened", reason)

    async def appeal(self, case_id: str, person: Person, reason: str) -> CaseView:
        """Ask another reader because somebody concerned has asked. Raises NotAllowedError, ConflictError."""
        return await self._again(case_id, person, "appealed", reason)

    async def discard(self, case_id: str, person: Person) -> None:
        """Set the events that are held on a case aside.

        Raises NotAllowedError, UnknownCaseError, ConflictError: another event has been held since.
        """
        if not person.may("lead"):
            raise NotAllowedError("only a lead can set held events aside")
        held = self._table.get(held_key(case_id))
        if not isinstance(held, Held):
            raise UnknownCaseError("nothing is held on this case")
        now = self._clock()
        made = case_event_id(case_id, 0, "discarded", person.id, now.isoformat())
        event = CaseEvent(made, case_id, 0, "discarded", person.id, now, reason=digest_of_held(held))
        await self._journal.write(event, held.partition)

    async def _again(self, case_id: str, person: Person, action: CaseAction, reason: str) -> CaseView:
        if not (typed := _typed(reason)):
            raise InvalidFormError({"reason": "must not be empty"})
        async with self._lock(case_id):
            state = self._state(case_id)
            permits.may_reopen(state, person)
            event = self._event(await self._keyed(state, typed), action, person.id, remark=typed)
            return self._view(await self._write(event, state), person)

    def _claim(self, state: CaseState, person: Person) -> Claim:
        assert state.lease is not None  # noqa: S101 - the fold has just accepted a claim
        return Claim(self._view(state, person), state.lease.id, state.lease.until)


def _is_id(name: str) -> bool:
    return 0 < len(name) <= MAX_READER and name.isprintable()


def _typed(reason: str | None) -> str | None:
    if reason is None or not (typed := reason.strip()):
        return None
    if len(typed) > MAX_REASON or not typed.isprintable():
        raise InvalidFormError({"reason": f"must be at most {MAX_REASON} printable characters"})
    return typed
