"""The queue of 100,000 open cases: its pages, places and counts in milliseconds. Pure.

Cases of one class (same level, same uncertainty, same state) never change their order, so each class is a
sorted list. There are some dozens of them, and the queue at a moment is their merge. Nothing is sorted when
time passes.

`now` is in Unix seconds. `take` gives out the cases.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

import msgspec

from review.cases.script import Script, readable_as
from review.people import Person
from review.queue.answers import Backlog, Counts, Place, Slice
from review.queue.changes import Changes
from review.queue.classes import CaseClass, ClassKey, Rank, class_of
from review.queue.open_cases import OpenCases
from review.queue.order import Filter
from review.queue.parts import Part, place_of, ranks_from
from review.queue.urgency import Lane, lane_of
from review.queue.waiting import State, Waiting


class QueueIndex(OpenCases):
    """The open cases, as people look at them."""

    def page(
        self, wanted: Filter, now: float, *, offset: int, limit: int, person: Person, levels: bool = True
    ) -> Slice:
        """A page of the queue as this person sees it.

        Without `levels`, it says nothing that the model has found: not how severe a case is, nor what follows
        from it. Quality samples and golden items stand where an escalation would, and reviewers cannot tell
        them apart.
        """
        parts = self._parts(wanted, now, person)
        if parts is None:
            ranks = sorted(self._few(wanted, now, person))
            total, chosen = len(ranks), ranks[offset : offset + limit]
        else:
            total = sum(part.stop - part.start for part in parts)
            chosen = list(islice(ranks_from(parts, offset, now), limit))
        shown = [self._entries[rank.id] for rank in chosen]
        sizes = {name: self._open_in(name) for name in {entry.conversation for entry in shown}}
        places = [
            self._place(entry, now, person, sizes[entry.conversation], levels=levels) for entry in shown
        ]
        return Slice(_together(places), total, offset, limit, self.log.version)

    def position(self, case_id: str, wanted: Filter, now: float, person: Person) -> int | None:
        """The place of a case in the filtered queue, from 0; None where the filter does not admit it."""
        entry = self._entries.get(case_id)
        if entry is None or not self._admits(wanted, entry, now, person):
            return None
        rank = self._rank(entry, now)
        parts = self._parts(wanted, now, person)
        if parts is None:
            return sum(other < rank for other in self._few(wanted, now, person))
        return place_of(rank, parts, now)

    def counts(self, wanted: Filter, now: float, person: Person) -> Counts:
        """How many cases the filter admits, in all and by what they divide into."""
        parts = self._parts(wanted, now, person)
        sizes: list[tuple[ClassKey, int, int]] = []
        if parts is None:
            for rank in self._few(wanted, now, person):
                entry = self._entries[rank.id]
                sizes.append((class_of(entry, lane_of(entry)), 1, int(self.law.overdue(entry, now))))
        else:
            for cases, start, stop in parts:
                late = min(cases.overdue(now), stop) - start
                sizes.append((cases.key, stop - start, max(late, 0)))
        by: tuple[Counter[str], ...] = (Counter(), Counter(), Counter(), Counter(), Counter())
        for key, size, _ in sizes:
            lane = seen_lane(key, person)
            for counter, name in zip(
                by,
                (lane.task, lane.kind, lane.name, seen_state(key.state, person), key.script or ""),
                strict=True,
            ):
                counter[name] += size
        total, overdue = sum(size for _, size, _ in sizes), sum(late for *_, late in sizes)
        return Counts(total, overdue, *(dict(+counter) for counter in by))

    def changes_since(self, version: int, wanted: Filter, now: float, person: Person) -> Changes:
        """What a page that shows this filter since `version` does not show yet."""
        changes = self.log.since(version)
        if changes is None:
            return Changes(self.log.version, [], [], [], complete=False)
        first: dict[str, bool] = {}
        last: dict[str, bool] = {}
        for change in changes:
            first.setdefault(change.id, self._shows(wanted, change.before, now, person))
            last[change.id] = self._shows(wanted, change.after, now, person)
        return Changes(
            self.log.version,
            arrived=[case_id for case_id in last if last[case_id] and not first[case_id]],
            left=[case_id for case_id in last if first[case_id] and not last[case_id]],
            altered=[case_id for case_id in last if first[case_id] and last[case_id]],
        )

    def backlog(self, now: float) -> list[Backlog]:
        """Every level with its open cases, the most severe first."""
        lanes: defaultdict[object, list[CaseClass]] = defaultdict(list)
        for cases in self._classes.values():
            lanes[cases.key.lane].append(cases)
        found = [
            Backlog(
                task=classes[0].key.lane.task,
                kind=classes[0].key.lane.kind,
                level=classes[0].key.lane.level,
                rank=classes[0].key.lane.rank,
                allowance=classes[0].allowance,
                severe=classes[0].severe,
                open=sum(map(len, classes)),
                claimed=sum(len(cases) for cases in classes if cases.key.state == "claimed"),
                overdue=sum(cases.overdue(now) for cases in classes),
                oldest=min(cases.since(0) for cases in classes),
            )
            for classes in lanes.values()
        ]
        return sorted(found, key=lambda lane: (-lane.rank, lane.task, lane.kind, lane.level or ""))

    def waiting_since(self) -> Iterator[tuple[Lane, list[float]]]:
        """When each case that nobody holds was sent, class by class, for the forecast.

        A class that is new, empty or changed between two steps does no harm.
        """
        for cases in list(self._classes.values()):
            if cases.key.state != "claimed":
                yield cases.key.lane, cases.all_since()

    def _parts(self, wanted: Filter, now: float, person: Person) -> list[Part] | None:
        """What the filter admits of each class; None where it asks for what classes do not know."""
        if wanted.mine or wanted.conversation is not None:
            return None
        parts = []
        for key, cases in self._classes.items():
            if not matches(wanted, key, person):
                continue
            late = cases.overdue(now) if wanted.overdue is not None else 0
            part = Part(cases, late if wanted.overdue is False else 0, late if wanted.overdue else len(cases))
            if part.start < part.stop:
                parts.append(part)
        return parts

    def _few(self, wanted: Filter, now: float, person: Person) -> Iterator[Rank]:
        """The cases that a filter by person or conversation admits: few enough to look at each."""
        if wanted.conversation is not None:
            entries = self.in_conversation(wanted.conversation)
        else:
            entries = self.in_hands_of(person.id)
        return (self._rank(entry, now) for entry in entries if self._admits(wanted, entry, now, person))

    def _admits(self, wanted: Filter, entry: Waiting, now: float, person: Person) -> bool:
        mine = entry.holder == person.id or (
            entry.holder is None and entry.reserved is not None and entry.reserved.person == person.id
        )
        if wanted.mine and not mine:
            return False
        if wanted.mine and not sees_all(person):  # else what one holds could be asked about
            wanted = msgspec.structs.replace(wanted, kind=None, level=None, overdue=None)
        if wanted.overdue not in {None, self.law.overdue(entry, now)}:
            return False
        return wanted.conversation in {None, entry.conversation} and matches(
            wanted, class_of(entry, lane_of(entry)), person
        )

    def _shows(self, wanted: Filter, entry: Waiting | None, now: float, person: Person) -> bool:
        return entry is not None and self._admits(wanted, entry, now, person)

    def _rank(self, entry: Waiting, now: float) -> Rank:
        return Rank(-self.law.urgency(entry, now), entry.since, -entry.priority, entry.id)

    def _place(
        self, entry: Waiting, now: float, person: Person, in_conversation: int, *, levels: bool
    ) -> Place:
        known = levels and (sees_all(person) or entry.holder != person.id)
        lane = seen_lane(class_of(entry, lane_of(entry)), person)
        due = entry.since + self.law.allowance(lane)
        return Place(
            id=entry.id,
            task=entry.task,
            level=lane.level if known else None,
            state=seen_state(entry.state, person),
            holder=entry.holder,
            since=entry.since,
            due=due if known else None,
            overdue=now >= due if known else None,
            raised=entry.raised if known else None,
            conversation=entry.conversation,
            further=max(in_conversation - 1, 0),
            takeable=entry.may_be_taken_by(person, now),
        )

    def _open_in(self, conversation: str | None) -> int:
        return 0 if conversation is None else sum(1 for _ in self.in_conversation(conversation))


def sees_all(person: Person) -> bool:
    """Whether somebody knows kinds and stages of cases that they have not judged."""
    return person.may("lead", "auditor")


def seen_lane(key: ClassKey, person: Person) -> Lane:
    """The lane that a class of cases seems to be of."""
    return key.lane if sees_all(person) else key.shown


def seen_state(state: State, person: Person) -> State:
    """Whom a case seems to wait for: who is asked as a second reader does not know that they are."""
    return "waiting" if state == "second" and not sees_all(person) else state


def matches(wanted: Filter, key: ClassKey, person: Person) -> bool:
    """Whether the filter admits this class, as far as classes know what it asks for."""
    lane, state = seen_lane(key, person), seen_state(key.state, person)
    of_state = state == wanted.state if wanted.state else wanted.mine or state != "claimed"
    return (
        of_state
        and wanted.task in {None, lane.task}
        and wanted.kind in {None, lane.kind}
        and wanted.level in {None, lane.level}
        and readable(wanted, key.script)
    )


def readable(wanted: Filter, script: Script | None) -> bool:
    """Whether the filter admits cases of this script."""
    return wanted.script is None or readable_as(script, wanted.script)


def _together(places: list[Place]) -> list[Place]:
    """The same places, with those of one conversation behind its first."""
    firsts: dict[str, list[Place]] = {}
    for place in places:
        firsts.setdefault(place.conversation or f"\0{place.id}", []).append(place)
    return [place for group in firsts.values() for place in group]
