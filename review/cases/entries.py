"""Defines the entries of the desk's table, and what a case's arrival does to one. Pure.

    CaseState    a case, and what its events so far add up to: `review.cases.state`
    Decided      the small marker that remains of a settled case: `review.cases.remains`
    Held         events on one case that were not believed, for a lead to look at: `review.cases.held`
    Erasure      a message or an author whose words somebody asked to erase
    Sweep        when the broker was last told to forget something, in this partition
    Subject      which cases of one author, or of one conversation, were found at risk lately
    Unreadable   a record that is no event at all

Markers and settled cases can be pruned; a case that is delivered after that opens again.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from review.cases.held import Held
from review.cases.remains import Decided
from review.cases.script import script_of
from review.cases.state import CaseState, with_ids
from schemas.events import ReviewCase

Arrival = Literal["opened", "repeated", "already_decided"]
SubjectKind = Literal["author", "conversation"]

# A window is 24 hours long; what is late by a day still counts.
KEEP_SUBJECTS: Final = timedelta(hours=48)


class Erasure(msgspec.Struct, frozen=True, tag="erasure"):
    """What was to be erased at `at`, by its digest; remembered for cases that are read only later."""

    what: Literal["message", "author"]
    digest: str
    partition: int
    at: datetime


class Sweep(msgspec.Struct, frozen=True, tag="sweep", omit_defaults=True):
    """When the broker was last told to forget something in `partition`, and when it was last swept."""

    partition: int
    told_at: datetime
    swept_at: datetime | None = None


class Seen(msgspec.Struct, frozen=True):
    """A case at risk: the hour (since 1970) that its message was sent in, and the case's partition."""

    case_id: str
    hour: int
    partition: int


class Subject(msgspec.Struct, frozen=True, tag="subject"):
    """The cases at risk of one author, or of one conversation, in the order they came. Holds no id of either.

    `partition` is that of the subject, whose cases are in any. `seen_at` is when the latest came.
    """

    what: SubjectKind
    partition: int
    cases: list[Seen]
    seen_at: datetime


class Unreadable(msgspec.Struct, frozen=True, tag="unreadable"):
    """A record that is no event. `detail` names the field or rule, never the content."""

    topic: str
    partition: int
    offset: int
    detail: str
    seen_at: datetime


Entry = CaseState | Decided | Held | Subject | Erasure | Sweep | Unreadable

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Encode an entry for the table and its changelog."""
    return msgspec.json.encode(entry)


def decode_entry(value: bytes) -> Entry:
    """Decode what `encode_entry` wrote. Raises msgspec.MsgspecError: it is anything else."""
    entry = _decoder.decode(value)
    if isinstance(entry, CaseState) and "" in {entry.case.author_id, entry.case.conversation_id}:
        return msgspec.structs.replace(entry, case=with_ids(entry.case))  # opened by an earlier desk
    return entry


def receive_case(
    entry: CaseState | Decided | None, case: ReviewCase, partition: int
) -> tuple[CaseState | Decided, Arrival]:
    """Return the entry after a case has arrived, and what that was."""
    match entry:
        case None:
            return CaseState(with_ids(case), partition, script=script_of(case.text)), "opened"
        case CaseState():
            return entry, "already_decided" if entry.phase == "settled" else "repeated"
        case Decided():
            return entry, "already_decided"


def kept_until(entry: Entry, keep: timedelta) -> datetime | None:
    """Return until when an entry is kept, if for `keep`; windows for two days. None of open cases."""
    closed = _closed_at(entry)
    kept = min(keep, KEEP_SUBJECTS) if isinstance(entry, Subject) else keep
    return None if closed is None else closed + kept


def _closed_at(entry: Entry) -> datetime | None:
    match entry:
        case CaseState():
            return entry.history[-1].at if entry.phase == "settled" and entry.history else None
        case Decided():
            return entry.decided_at
        case Held():
            return max(event.seen_at for event in entry.events)
        case Unreadable() | Subject():
            return entry.seen_at
        case Erasure():
            return entry.at
        case Sweep():
            return None
