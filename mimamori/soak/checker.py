"""Checks the outcome of every numbered message, from what a read-committed reader sees.

    every message     exactly one label, or exactly one dead letter where the script says so, for that reason
    per partition     labels, and dead letters, that share an output partition are in input order
    every label       a review case that agrees with it, if and only if the label asks for one; no other case
    every dead letter a review case if and only if it may hold a message

Records of the three topics may come in any interleaving, and the verdict is asked for at the end. The state
is a few bytes per message: ten million messages fit in a hundred megabytes. The checker imports
`schemas`, and nothing of the worker.
"""

from array import array
from collections import Counter
from typing import Final, Literal, get_args
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

import schemas
from mimamori.soak.script import UNREAD, Script, message_id
from schemas.events import DeadLetter, Label, Origin, ReviewCase

Trouble = Literal[
    "lost", "twice", "out_of_order", "mismatched_cases", "wrong_outcomes", "strangers", "uncommitted"
]
TROUBLES: Final[tuple[Trouble, ...]] = get_args(Trouble)
SHOWN: Final = 10  # ids kept for each kind of trouble

_LABELLED, _DEAD, _ASKS_CASE, _HAS_CASE = 1, 2, 4, 8
_OUTCOME = _LABELLED | _DEAD


class Findings(msgspec.Struct, frozen=True):
    """How many messages have each kind of trouble, with their first ids. `seen`: messages with an outcome."""

    seen: int
    counts: dict[str, int]
    first_ids: dict[str, list[str]]

    @property
    def sound(self) -> bool:
        """Whether no trouble was found."""
        return not any(self.counts.values())


class Checker:
    """Give it every record of the three topics with `take`; call `findings` once no more will come."""

    def __init__(self, script: Script, topic: str) -> None:
        """`topic` is the one that the script's messages were sent to."""
        self._script = script
        self._topic = topic
        self._flags = [bytearray(length) for length in script.lengths]
        self._said = [array("I", bytes(4 * length)) for length in script.lengths]
        self._last: dict[tuple[type, int, int], int] = {}
        self._counts: Counter[Trouble] = Counter()
        self._ids: dict[str, list[str]] = {}
        self._finished = [0] * script.partitions
        self.seen = 0
        self.seen_of = [0] * script.partitions

    def take(self, kind: type[Label | DeadLetter | ReviewCase], partition: int, value: bytes | None) -> None:
        """Take one record of the topic of `kind`. The records of a `partition` must come in order."""
        try:
            event = schemas.decode(kind, value or b"")
        except schemas.CodecError:
            self._note("strangers", "unreadable")
            return
        origin = event.origin
        if not self._is_ours(origin):
            self._note("strangers", event.id)
            return
        if isinstance(event, ReviewCase):
            self._take_case(event)
            return
        self._take_outcome(event)
        self._check_order(type(event), partition, origin)

    def findings(self) -> Findings:
        """The verdict on all records that were taken."""
        for partition, content in enumerate(self._flags):
            flags = np.frombuffer(content, np.uint8)
            unpaired = ((flags & _ASKS_CASE) > 0) != ((flags & _HAS_CASE) > 0)
            self._note_all("lost", partition, (flags & _OUTCOME) == 0)
            self._note_all("mismatched_cases", partition, unpaired)
        counts: dict[str, int] = {trouble: self._counts[trouble] for trouble in TROUBLES}
        return Findings(self.seen, counts, dict(self._ids))

    def finished(self) -> list[int]:
        """The first sequence without an outcome, for each partition."""
        for partition, flags in enumerate(self._flags):
            at = self._finished[partition]
            while at < len(flags) and flags[at] & _OUTCOME:
                at += 1
            self._finished[partition] = at
        return list(self._finished)

    def committed(self, offsets: dict[int, int]) -> None:
        """Take the group's committed offsets at the end: each must equal its partition's length."""
        for partition, length in enumerate(self._script.lengths):
            if length and offsets.get(partition) != length:
                self._note("uncommitted", f"partition {partition} at {offsets.get(partition)} of {length}")

    def _take_outcome(self, event: Label | DeadLetter) -> None:
        partition, sequence = event.origin.partition, event.origin.offset
        name = message_id(partition, sequence)
        flags = self._flags[partition]
        if flags[sequence] & _OUTCOME:
            self._note("twice", name)
        else:
            self.seen += 1
            self.seen_of[partition] += 1
        reason = self._script.reason(partition, sequence)
        if isinstance(event, DeadLetter):
            flags[sequence] |= _DEAD
            if event.reason != reason:
                self._note("wrong_outcomes", name)
            if event.reason in UNREAD:
                flags[sequence] |= _ASKS_CASE
                self._compare(event)
            return
        flags[sequence] |= _LABELLED
        truncated = self._script.is_truncated(partition, sequence)
        if reason is not None or event.message_id != name or event.truncated != truncated:
            self._note("wrong_outcomes", name)
        if event.verdict != "clear" or "quality_sample" in event.reasons:
            flags[sequence] |= _ASKS_CASE
            self._compare(event)

    def _take_case(self, case: ReviewCase) -> None:
        partition, sequence = case.origin.partition, case.origin.offset
        flags = self._flags[partition]
        name = message_id(partition, sequence)
        # An unreadable record has no known id, so its case is matched by its origin.
        if flags[sequence] & _HAS_CASE or (case.kind != "unread" and case.message_id != name):
            self._note("mismatched_cases", name)
        flags[sequence] |= _HAS_CASE
        self._compare(case)

    def _compare(self, event: Label | DeadLetter | ReviewCase) -> None:
        """Compare an outcome with its case: the first to come leaves a checksum to compare the other with."""
        said = crc32(_said(event).encode()) | 1
        partition, sequence = event.origin.partition, event.origin.offset
        before, self._said[partition][sequence] = self._said[partition][sequence], said
        if before not in {0, said}:
            self._note("mismatched_cases", message_id(partition, sequence))

    def _check_order(self, kind: type, partition: int, origin: Origin) -> None:
        place = (kind, partition, origin.partition)
        if origin.offset < self._last.get(place, -1):
            self._note("out_of_order", message_id(origin.partition, origin.offset))
        self._last[place] = origin.offset

    def _is_ours(self, origin: Origin) -> bool:
        known = origin.topic == self._topic and origin.partition < self._script.partitions
        return known and origin.offset < self._script.lengths[origin.partition]

    def _note_all(self, trouble: Trouble, partition: int, wrong: NDArray[np.bool_]) -> None:
        places = np.flatnonzero(wrong)
        for sequence in places[:SHOWN]:
            self._note(trouble, message_id(partition, int(sequence)))
        self._counts[trouble] += max(0, len(places) - SHOWN)

    def _note(self, trouble: Trouble, name: str) -> None:
        self._counts[trouble] += 1
        shown = self._ids.setdefault(trouble, [])
        if len(shown) < SHOWN:
            shown.append(name)


def _said(event: Label | DeadLetter | ReviewCase) -> str:
    """A checksum of what an outcome and its case must agree on."""
    match event:
        case DeadLetter():
            return f"{event.id} {event.reason}"
        case ReviewCase(kind="unread"):
            return f"{event.dead_letter_id} {event.unread_because}"
        case ReviewCase():
            return f"{event.label_id} {event.verdict} {event.risk!r} {event.severity} {event.bundle}"
        case Label():
            return f"{event.id} {event.verdict} {event.risk!r} {event.severity} {event.bundle}"
