"""Which cases belong to one conversation, settled ones included, so that a reader may see what stands around.

Only what became a case is known here: the desk never has the other messages.
"""

from datetime import datetime
from typing import Final

import msgspec
from sortedcontainers import SortedList

from review.cases.entries import Entry
from review.cases.state import CaseState

# Of one message beside the case, in code points: its beginning and its end.
LONGEST: Final = 2_000
_GAP: Final = " […] "

Place = tuple[datetime, bytes]


class Beside(msgspec.Struct, frozen=True):
    """A message of the same conversation, without its text. It does not say what the model thinks of it.

    `at` is when it was sent, or else when its case opened. `before` and `same_author` compare it with the
    message of the case; `same_author` is None where an author is not known.
    """

    at: datetime
    before: bool
    same_author: bool | None


class BesideText(msgspec.Struct, frozen=True):
    """Such a message with its text. `shortened`: its middle is left out."""

    at: datetime
    before: bool
    same_author: bool | None
    text: str
    shortened: bool


class Conversations:
    """The cases that have a text, by conversation and time. The table tells it of each entry.

    A conversation may have any number of cases, so that no look at one reads all of them.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, tuple[str, Place]] = {}
        self._sent: dict[str, SortedList] = {}

    def put(self, key: bytes, entry: Entry) -> None:
        """Note an entry as it is now."""
        self.drop(key)
        if not isinstance(entry, CaseState) or entry.case.kind == "golden":  # which nobody has sent
            return
        if (name := entry.case.conversation_id) is not None and entry.case.text is not None:
            self._places[key] = name, (sent_at(entry), key)
            self._sent.setdefault(name, SortedList()).add((sent_at(entry), key))

    def drop(self, key: bytes) -> None:
        """Forget one entry."""
        name, place = self._places.pop(key, (None, None))
        if name is not None:
            self._sent[name].remove(place)
            if not self._sent[name]:
                del self._sent[name]

    def clear(self) -> None:
        """Forget all of them."""
        self._places.clear()
        self._sent.clear()

    def nearest(self, key: bytes, state: CaseState, most: int) -> list[bytes]:
        """The keys of the other cases of its conversation that were sent next to it, in the order of time."""
        name = state.case.conversation_id
        sent = None if name is None else self._sent.get(name)
        if sent is None:
            return []
        here = sent_at(state)
        at = sent.bisect_left((here, key))
        near: list[Place] = [
            place for place in sent.islice(max(0, at - most), at + most + 1) if place[1] != key
        ]
        near.sort(key=lambda place: abs(place[0] - here))
        return [name for _, name in sorted(near[:most])]


def sent_at(state: CaseState) -> datetime:
    """When the message was sent, or else when its case opened."""
    return state.case.sent_at or state.case.opened_at


def beside(state: CaseState, other: CaseState) -> Beside:
    """What may be said of another message of the conversation before it is read."""
    ours, theirs = state.case.author_id, other.case.author_id
    same = None if ours is None or theirs is None else ours == theirs
    return Beside(sent_at(other), sent_at(other) < sent_at(state), same)


def with_text(state: CaseState, other: CaseState) -> BesideText:
    """The same with its text, of which the middle is left out where it is long."""
    text, about = other.case.text or "", beside(state, other)
    shortened = len(text) > LONGEST
    if shortened:
        half = (LONGEST - len(_GAP)) // 2
        text = text[:half] + _GAP + text[-half:]
    return BesideText(about.at, about.before, about.same_author, text, shortened or other.case.text_shortened)
