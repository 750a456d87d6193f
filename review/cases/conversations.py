"""Which cases belong to one conversation, settled ones included, so that a reader may see what stands around.

Only what became a case is known here: the desk never has the other messages.
"""

from collections import defaultdict
from datetime import datetime
from typing import Final

import msgspec

from review.cases.entries import CaseState, Entry

# Of one message beside the case, in code points: its beginning and its end.
LONGEST: Final = 2_000
_GAP: Final = " […] "


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
    """The keys of the cases that have a text, by conversation. The table tells it of each entry."""

    def __init__(self) -> None:
        self._of: dict[bytes, str] = {}
        self._keys: defaultdict[str, set[bytes]] = defaultdict(set)

    def put(self, key: bytes, entry: Entry) -> None:
        """Note an entry as it is now."""
        self.drop(key)
        if not isinstance(entry, CaseState) or entry.case.kind == "golden":  # which nobody has sent
            return
        if (name := entry.case.conversation_id) is not None and entry.case.text is not None:
            self._of[key] = name
            self._keys[name].add(key)

    def drop(self, key: bytes) -> None:
        """Forget one entry."""
        if (name := self._of.pop(key, None)) is not None:
            self._keys[name].discard(key)
            if not self._keys[name]:
                del self._keys[name]

    def clear(self) -> None:
        """Forget all of them."""
        self._of.clear()
        self._keys.clear()

    def keys(self, conversation: str | None) -> frozenset[bytes]:
        """The keys of the cases of a conversation."""
        return frozenset(self._keys.get(conversation or "", ()))


def nearest(state: CaseState, others: list[CaseState], most: int) -> list[CaseState]:
    """Those of the others that were sent next to this one, in the order of their time."""
    here = _at(state)
    near = sorted(others, key=lambda other: (abs(_at(other) - here), other.case.id))[:most]
    return sorted(near, key=lambda other: (_at(other), other.case.id))


def beside(state: CaseState, other: CaseState) -> Beside:
    """What may be said of another message of the conversation before it is read."""
    ours, theirs = state.case.author_id, other.case.author_id
    same = None if ours is None or theirs is None else ours == theirs
    return Beside(_at(other), _at(other) < _at(state), same)


def with_text(state: CaseState, other: CaseState) -> BesideText:
    """The same with its text, of which the middle is left out where it is long."""
    text, about = other.case.text or "", beside(state, other)
    shortened = len(text) > LONGEST
    if shortened:
        half = (LONGEST - len(_GAP)) // 2
        text = text[:half] + _GAP + text[-half:]
    return BesideText(about.at, about.before, about.same_author, text, shortened or other.case.text_shortened)


def _at(state: CaseState) -> datetime:
    return state.case.sent_at or state.case.opened_at
