"""All open cases, in sorted lists by class, and by conversation and person. Pure.

Everything here is in memory and can be made anew from the table: `put` for each open case, in any order. It
is not for several threads.
"""

from collections import defaultdict
from collections.abc import Iterable

from review.queue.changes import ChangeLog
from review.queue.classes import CaseClass, ClassKey, class_of
from review.queue.urgency import Law, lane_of
from review.queue.waiting import Waiting


class OpenCases:
    """The open cases that this desk holds. `first_version` must differ between runs: use the time."""

    def __init__(self, law: Law, *, first_version: int = 0) -> None:
        self.law = law
        self._entries: dict[str, Waiting] = {}
        self._classes: dict[ClassKey, CaseClass] = {}
        self._conversations: defaultdict[str, set[str]] = defaultdict(set)
        self._hands: defaultdict[str, set[str]] = defaultdict(set)
        self._latest: dict[str, str | None] = {}
        self.log = ChangeLog(first_version)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, case_id: str) -> Waiting | None:
        """The entry of an open case."""
        return self._entries.get(case_id)

    def entries(self) -> Iterable[Waiting]:
        """Every entry, as it is now, in no order."""
        return list(self._entries.values())

    def put(self, entry: Waiting) -> None:
        """Add a case, or replace what is known of it. An entry that is unchanged changes nothing."""
        before = self._entries.get(entry.id)
        if before == entry:
            return
        if before is not None:
            self._remove(before)
        key = class_of(entry, lane_of(entry))
        if (cases := self._classes.get(key)) is None:
            cases = self._classes[key] = CaseClass(key, self.law)
        cases.add(entry)
        self._entries[entry.id] = entry
        if entry.conversation is not None:
            self._conversations[entry.conversation].add(entry.id)
        for person in _people(entry):
            self._hands[person].add(entry.id)
        if entry.holder is not None:
            self._latest[entry.holder] = entry.conversation
        self.log.add(entry.id, before, entry)

    def drop(self, case_id: str) -> None:
        """Forget a case that is not open any more. Nothing happens where it is not known."""
        before = self._entries.pop(case_id, None)
        if before is not None:
            self._remove(before)
            self.log.add(case_id, before, None)

    def clear(self) -> None:
        """Forget everything: the table is about to tell all of it again. Pages that stay open load anew."""
        for each in (self._entries, self._classes, self._conversations, self._hands, self._latest):
            each.clear()
        self.log = ChangeLog(self.log.version + 1)

    def _remove(self, entry: Waiting) -> None:
        key = class_of(entry, lane_of(entry))
        cases = self._classes[key]
        cases.remove(entry)
        if not cases:
            del self._classes[key]
        if entry.conversation is not None:
            _discard(self._conversations, entry.conversation, entry.id)
        for person in _people(entry):
            _discard(self._hands, person, entry.id)

    def classes(self) -> Iterable[CaseClass]:
        """Every class that has cases, in no order."""
        return self._classes.values()

    def in_conversation(self, conversation: str) -> Iterable[Waiting]:
        """The open cases of a conversation, in no order."""
        return (self._entries[case_id] for case_id in self._conversations.get(conversation, ()))

    def latest_conversation(self, person_id: str) -> str | None:
        """The conversation of the case that this person took last, None without one."""
        return self._latest.get(person_id)

    def in_hands_of(self, person_id: str) -> Iterable[Waiting]:
        """What somebody holds, and what was handed to them, in no order."""
        return (self._entries[case_id] for case_id in self._hands.get(person_id, ()))


def _people(entry: Waiting) -> set[str]:
    """In whose hands it is: the holder's, or else theirs to whom it was handed."""
    if entry.holder is not None:
        return {entry.holder}
    return {entry.reserved.person} if entry.reserved else set()


def _discard(sets: defaultdict[str, set[str]], name: str, case_id: str) -> None:
    sets[name].discard(case_id)
    if not sets[name]:
        del sets[name]
