"""What people see: the queue, a case as its viewer may know it, and its text once the reading is recorded.

What somebody is to judge without knowing is left out by `review.cases.views`.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import msgspec

from review.cases import permits
from review.cases.conversations import Beside, BesideText, beside, with_text
from review.cases.entries import Entry
from review.cases.held import Held
from review.cases.keys import case_key
from review.cases.remains import Decided
from review.cases.state import CaseState, Step
from review.cases.views import CaseView, steps_of, view
from review.errors import ClosedCaseError, NotAllowedError, UnknownCaseError
from review.people import Person
from review.present import Present
from review.queue.answers import Place
from review.queue.exposure import Load
from review.queue.live import Capacity
from review.queue.order import Filter, Page

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


async def unrecorded(_state: CaseState, _person: Person, _beside: str | None) -> None:
    """Record no reading."""


class Sight:
    """Shows cases to people: as much of each as this person may know."""

    def __init__(self, table: Table, present: Present, rules: Rules, before_reveal: BeforeReveal) -> None:
        self._table = table
        self._present = present
        self._rules = rules
        self._before_reveal = before_reveal

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
        state = self._state(case_id)  # while that was recorded, the words may have been erased
        permits.may_reveal(state, person)
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
        state = self._state(case_id)
        permits.may_reveal(state, person)
        return [with_text(state, other) for other in self._still_beside(state, others)]

    def _beside(self, state: CaseState) -> list[CaseState]:
        """What of the conversation may be seen beside a case."""
        most = self._rules.conversation_context
        if not most or state.case.kind == "golden":
            return []
        keys = self._present.conversations.nearest(case_key(state.case.id), state, most)
        found = [self._table.get(key) for key in keys]
        return [other for other in found if isinstance(other, CaseState)]

    def _still_beside(self, state: CaseState, others: list[CaseState]) -> Iterator[CaseState]:
        """These as they are now, but none whose words are gone, or that the conversation has lost."""
        for other in others:
            entry = self._table.get(case_key(other.case.id))
            if isinstance(entry, CaseState) and entry.case.text is not None:
                name = entry.case.conversation_id
                if name is not None and name == state.case.conversation_id:
                    yield entry

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


def _as_seen(place: Place, shown: CaseView) -> Place:
    """A place in the queue as told to whoever is shown the case so: by its id there, and its message's age.

    The queue counts from the reopening, which tells a second reader that there is a first.
    """
    if shown.model is not None or shown.stage != "first":
        return msgspec.structs.replace(place, id=shown.id)
    sent = min(shown.sent_at or shown.opened_at, shown.opened_at)
    return msgspec.structs.replace(place, id=shown.id, since=sent.timestamp())
