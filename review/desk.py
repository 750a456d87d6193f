"""The only door to the cases: every page, API call and script goes through `Desk`.

Every step can raise UnknownCaseError, ConflictError and NotConfirmedError, beside what its docstring names.

Each step is checked here for the person who wants it (`review.cases.permits`), sent as an event, and answered
once it has come back from the log (`review.journal`). What it does to the case is decided by the fold
(`review.cases.steps`) in the agent, and nowhere else.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import structlog

from review.cases import permits
from review.cases.conversations import Beside, BesideText, beside, with_text
from review.cases.entries import (
    CaseState,
    Decided,
    Entry,
    Held,
    Step,
    case_key,
    digest_of_held,
    held_key,
)
from review.cases.form import Form, to_decision
from review.cases.steps import BY_LEAD, DOUBLE_REVIEW, refers
from review.cases.views import BLIND, CaseView, Claim, steps_of, view
from review.errors import (
    ClosedCaseError,
    DecisionRefusedError,
    InvalidFormError,
    NotAllowedError,
    NotConfirmedError,
    TooManyClaimsError,
    UnknownCaseError,
)
from review.journal import Journal
from review.people import DESK, Person
from review.present import Limits, Present, awaits_second_reader
from review.queue.answers import Place
from review.queue.exposure import Load
from review.queue.live import Capacity
from review.queue.order import Filter, Page
from review.queue.skips import SKIP_REASONS
from review.retention.remarks import seal_remark
from schemas.events import CaseEvent, ReviewDecision
from schemas.ids import case_event_id
from schemas.vocabulary import CaseAction

log = structlog.get_logger()

MAX_REASON = 120
MAX_READER = 256

# Awaited before a text leaves the desk; it raises where the reading cannot be recorded. Its last argument is
# the case beside which it is read, where that is another one.
BeforeReveal = Callable[[CaseState, Person, str | None], Awaitable[None]]


class Table(Protocol):
    """What the desk reads of the table."""

    def get(self, key: bytes) -> Entry | None:
        """The entry under this key."""


class Rules(Protocol):
    """The settings that the desk goes by."""

    @property
    def claims(self) -> int:
        """How many cases one reviewer may hold at a time."""

    @property
    def model_view(self) -> str:
        """Whether reviewers see what the model thinks `before` their judgement, or `after` it."""

    @property
    def conversation_context(self) -> int:
        """How many other messages of its conversation may be seen beside a case."""


def utc_now() -> datetime:
    """The time on this machine's clock."""
    return datetime.now(UTC)


async def unrecorded(_state: CaseState, _person: Person, _beside: str | None) -> None:
    """Record no reading."""


class Desk:
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
        self._table = table
        self._present = present
        self._journal = journal
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self._before_reveal = before_reveal
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting_for: Counter[str] = Counter()
        self._unconfirmed: set[str] = set()

    # What a person sees.

    def find(self, case_id: str, person: Person) -> CaseView:
        """One case. Raises UnknownCaseError; ClosedCaseError: only its marker is left."""
        return self._view(self._state(case_id), person)

    def queue(self, wanted: Filter, person: Person, *, offset: int, limit: int) -> Page[CaseView]:
        """A page of the open cases, most urgent first.

        Raises NotAllowedError: the filter asks for what this person is to judge without knowing.
        """
        levels = self._may_ask(wanted, person)
        found = self._present.queue.page(wanted, person, offset=offset, limit=limit, levels=levels)
        states = [self._table.get(case_key(place.id)) for place in found.places]
        # After a rebalance, a case may be another desk's by now.
        here = [(s, place) for s, place in zip(states, found.places, strict=True) if isinstance(s, CaseState)]
        views = [self._view(state, person) for state, _ in here]
        places = [_as_seen(place, shown) for shown, (_, place) in zip(views, here, strict=True)]
        return Page(views, found.total, offset, limit, places, found.version)

    def _may_ask(self, wanted: Filter, person: Person) -> bool:
        """Whether this person may know levels. Raises NotAllowedError: the filter asks for more than that."""
        oversees = person.may("lead", "auditor")
        levels = self._rules.model_view == "before" or oversees
        if (wanted.level, wanted.overdue) != (None, None) and not levels:
            raise NotAllowedError(
                "levels, and the deadlines that follow from them, are the model's view: you see it once you "
                "have judged a case"
            )
        if wanted.state == "second" and not oversees:
            raise NotAllowedError("a second reader reads without knowing that somebody has judged the case")
        return levels

    def load(self, person: Person) -> Load:
        """How many severe cases this person has had within an hour, and whether a break is due.

        What they hold or can still undo is not counted: it would tell them that it is severe.
        """
        return self._present.queue.load(person, but=set(self._present.of(person.id)))

    def capacity(self) -> Capacity:
        """Whether people at work can take what waits before its deadlines, and what is delayed if not."""
        return self._present.queue.capacity()

    def mine(self, person: Person) -> list[CaseView]:
        """The cases that this person holds, or has decided a moment ago."""
        return [self.find(case_id, person) for case_id in self._present.of(person.id)]

    def history(self, case_id: str) -> list[Step]:
        """The steps on a case, oldest first. Raises UnknownCaseError, ClosedCaseError."""
        state = self._state(case_id)
        return steps_of(state, state.history)

    def held(self) -> list[Held]:
        """Events that were not believed, by case."""
        return list(self._present.held.values())

    async def reveal(self, case_id: str, person: Person) -> str | None:
        """The text of a case, once its reading is recorded. None where it does not travel with cases.

        Raises UnknownCaseError, ClosedCaseError, NotAllowedError, and what the recording raises.
        """
        state = self._state(case_id)
        permits.may_reveal(state, person)
        await self._before_reveal(state, person, None)
        return state.case.text

    def context(self, case_id: str, person: Person) -> list[Beside]:
        """The other messages of the case's conversation that this person may read, without their texts.

        In the order they were sent; none where the settings allow none. Raises UnknownCaseError,
        ClosedCaseError.
        """
        state = self._state(case_id)
        if not permits.reveals_to(state, person):
            return []
        return [beside(state, other) for other in self._beside(state)]

    async def reveal_context(self, case_id: str, person: Person) -> list[BesideText]:
        """The same with their texts, once the reading of each is recorded.

        Raises UnknownCaseError, ClosedCaseError, NotAllowedError, and what the recording raises; then no text
        leaves.
        """
        state = self._state(case_id)
        permits.may_reveal(state, person)
        if not self._rules.conversation_context:
            raise NotAllowedError("this desk shows no other messages of a conversation")
        others = self._beside(state)
        for other in others:
            await self._before_reveal(other, person, case_id)
        return [with_text(state, other) for other in others]

    def _beside(self, state: CaseState) -> list[CaseState]:
        """What of the conversation may be seen beside a case."""
        most = self._rules.conversation_context
        if not most or state.case.kind == "golden":
            return []
        keys = self._present.conversations.nearest(case_key(state.case.id), state, most)
        found = [self._table.get(key) for key in keys]
        return [other for other in found if isinstance(other, CaseState)]

    # A person's steps.

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
            event = self._event(
                state,
                "released",
                person.id,
                lease=lease,
                reason=word,
                reader=reader,
                until=until,
                remark=None if word else typed,
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
                state,
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

    # The desk's own steps.

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

    async def _write(self, event: CaseEvent, state: CaseState) -> CaseState:
        after = await self._journal.write(event, state.partition)
        assert after is not None  # noqa: S101 - an event on a case that is here was accepted
        return after

    async def _again(self, case_id: str, person: Person, action: CaseAction, reason: str) -> CaseView:
        if not (typed := _typed(reason)):
            raise InvalidFormError({"reason": "must not be empty"})
        async with self._lock(case_id):
            state = self._state(case_id)
            permits.may_reopen(state, person)
            event = self._event(state, action, person.id, remark=typed)
            return self._view(await self._write(event, state), person)

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

    def _state(self, case_id: str) -> CaseState:
        entry = self._table.get(case_key(case_id))
        if entry is None and (golden := self._present.golden.get(case_id)) is not None:
            entry = self._table.get(golden)
        match entry:
            case CaseState():
                return entry
            case Decided():
                raise ClosedCaseError("this case is decided, and its content has been forgotten")
            case _:
                raise UnknownCaseError("no such case: it was never here, or it is on another desk")

    def _view(self, state: CaseState, person: Person) -> CaseView:
        shown = view(state, person, model_first=self._rules.model_view == "before")
        if shown.id != state.case.id and (
            self._table.get(case_key(shown.id)) is not None
            or self._present.golden.get(shown.id) != case_key(state.case.id)
        ):
            # The message that a golden item pretends to be has a case after all, which its id must lead to.
            return msgspec.structs.replace(shown, id=state.case.id)
        return shown

    def _claim(self, state: CaseState, person: Person) -> Claim:
        assert state.lease is not None  # noqa: S101 - the fold has just accepted a claim
        return Claim(self._view(state, person), state.lease.id, state.lease.until)

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


def _as_seen(place: Place, shown: CaseView) -> Place:
    """A place in the queue as told to whoever is shown the case so: by its id there, and its message's age.

    The queue counts from the reopening, which tells a second reader that there is a first.
    """
    if shown.model is not None or shown.stage != "first":
        return msgspec.structs.replace(place, id=shown.id)
    sent = min(shown.sent_at or shown.opened_at, shown.opened_at)
    return msgspec.structs.replace(place, id=shown.id, since=sent.timestamp())


def _is_id(name: str) -> bool:
    return 0 < len(name) <= MAX_READER and name.isprintable()


def _typed(reason: str | None) -> str | None:
    if reason is None or not (typed := reason.strip()):
        return None
    if len(typed) > MAX_REASON or not typed.isprintable():
        raise InvalidFormError({"reason": f"must be at most {MAX_REASON} printable characters"})
    return typed


def _sealed(state: CaseState, remark: str | None) -> str | None:
    """What the log may hold of what somebody typed."""
    if remark is None:
        return None
    if state.remarks_key is None:  # nothing has happened to the case since desks seal remarks
        log.warning("remark_left_out", case=state.case.id)
        return None
    return seal_remark(remark, state.remarks_key, state.case.id)
