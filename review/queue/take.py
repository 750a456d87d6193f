"""Which case a person gets next. Pure.

Most claims get the most urgent case that this person may take: not held, not judged by them before, not
skipped by them a moment ago, not handed to somebody else, and for a lead only where it waits for one. `turns`
says which claims get a quality sample, or the case with the earliest deadline, instead. Where there is none
of these, they get the most urgent one; and a quality sample comes out of turn where nothing else is left.

Among cases of the very class of the most urgent one, what was handed to this person comes first, then what
belongs to the conversation of their last case, since they know it already.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Final

from review.cases.views import BLIND
from review.people import Person
from review.queue.classes import ClassKey, class_of
from review.queue.index import QueueIndex, matches, readable
from review.queue.order import Filter
from review.queue.turns import Turn, Turns
from review.queue.urgency import lane_of
from review.queue.waiting import Waiting

# A case that was given to somebody is given to nobody else for so long. By then their claim is in the table,
# or lost.
PROMISED_SECONDS: Final = 15.0


class Taking:
    """Gives out cases. What it gave is promised to one person, until the index says that it is claimed."""

    def __init__(self, index: QueueIndex, turns: Turns) -> None:
        self.turns = turns
        self._index = index
        self._promised: dict[str, tuple[Waiting, float]] = {}

    def take_next(
        self, person: Person, wanted: Filter, now: float, *, spare_severe: bool = False
    ) -> Waiting | None:
        """The case that this person should claim now, None where there is none for them.

        A filter by task, kind, script, conversation or hands holds for everything; one by level, state or
        deadline does not hold for quality samples, or these would wait for ever behind it. `spare_severe`
        leaves out severe cases. Call `give_back` where the claim fails.
        """
        self._promised = {case_id: held for case_id, held in self._promised.items() if now < held[1]}
        turns: tuple[Turn, ...] = (self.turns.turn, "urgent", "sample")
        entry = None
        for turn in dict.fromkeys(turns):
            if entry := self._first(turn, person, wanted, now, spare_severe=spare_severe):
                break
        if entry is not None:
            self.turns.taken()
            self._promised[entry.id] = (entry, now + PROMISED_SECONDS)
        return entry

    def give_back(self, case_id: str) -> None:
        """The claim of a case that was given out has failed: others may be given it."""
        self._promised.pop(case_id, None)

    def _first(
        self, turn: Turn, person: Person, wanted: Filter, now: float, *, spare_severe: bool
    ) -> Waiting | None:
        law = self._index.law
        for entry in self._in_order(turn, person, wanted, now):
            if not self._free(entry, person, now) or (spare_severe and law.severe(lane_of(entry))):
                continue
            if wanted.overdue is not None and turn != "sample" and wanted.overdue != law.overdue(entry, now):
                continue
            return self._known(entry, person, wanted, now) if turn == "urgent" else entry
        return None

    def _in_order(self, turn: Turn, person: Person, wanted: Filter, now: float) -> Iterator[Waiting]:
        """What this turn gives, the first one first, whoever may take it."""
        if wanted.mine or wanted.conversation is not None:
            few = [entry for entry in self._few(person, wanted) if _gives(turn, wanted, entry, person)]
            law = self._index.law
            yield from sorted(few, key=lambda entry: (-law.urgency(entry, now), entry.since, entry.id))
            return
        orders = [
            cases.ranks(now) if turn == "urgent" else cases.by_deadline()
            for cases in self._index.classes()
            if cases.key.state != "claimed" and _gives_lane(turn, wanted, cases.key, person)
        ]
        for rank in merge(*orders):
            if entry := self._index.get(rank.id):
                yield entry

    def _few(self, person: Person, wanted: Filter) -> Iterable[Waiting]:
        if wanted.mine:
            return self._index.in_hands_of(person.id)
        return self._index.in_conversation(wanted.conversation or "")

    def _free(self, entry: Waiting, person: Person, now: float) -> bool:
        held, until = self._promised.get(entry.id, (None, 0.0))
        promised = held is entry and now < until
        return not promised and entry.may_be_taken_by(person, now)

    def _known(self, first: Waiting, person: Person, wanted: Filter, now: float) -> Waiting:
        """What of the class of this case the person knows already, or else this case."""
        conversation = self._index.latest_conversation(person.id)
        key = class_of(first, lane_of(first))._replace(script=None)  # a talk may change its script

        def choose(entries: Iterable[Waiting]) -> Waiting | None:
            equal = (
                entry
                for entry in entries
                if class_of(entry, lane_of(entry))._replace(script=None) == key
                and readable(wanted, entry.script)
                and self._free(entry, person, now)
                and wanted.overdue in {None, self._index.law.overdue(entry, now)}
            )
            return min(equal, key=lambda entry: (entry.since, -entry.priority, entry.id), default=None)

        handed = choose(self._index.in_hands_of(person.id))
        further = choose(self._index.in_conversation(conversation)) if conversation is not None else None
        return handed or further or first


def _gives(turn: Turn, wanted: Filter, entry: Waiting, person: Person) -> bool:
    return _gives_lane(turn, wanted, class_of(entry, lane_of(entry)), person)


def _gives_lane(turn: Turn, wanted: Filter, key: ClassKey, person: Person) -> bool:
    """Whether this turn may give cases of this class."""
    blind = key.lane.kind in BLIND
    if blind != (turn == "sample"):
        return False
    if blind:
        # They are read as escalations, so that asking for these does not leave them out.
        of_kind = wanted.kind in {None, "escalation", key.lane.kind}
        return of_kind and wanted.task in {None, key.lane.task} and readable(wanted, key.script)
    return matches(wanted, key, person)
