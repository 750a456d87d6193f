"""When the words of a case are to be forgotten, and what is left of it then. Pure: no clock, no Kafka.

A settled case keeps its text for a while, so that a lead can have it read again. Then the broker is told to
forget it by a null value under the case's key, and when that comes back the table keeps a marker alone. What
is due follows from the table, so that a desk which was killed, or another one, goes on where it ended.

An erasure takes the words at once, and the ids of whoever wrote them. It closes no case: an open one stays
open until a person closes it, since erasing words must not be a way to hide somebody who needs help.
"""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec.structs import replace

from review.cases.entries import Entry, Erasure, Sweep
from review.cases.remains import Decided, forget
from review.cases.state import CaseState, when_sent
from review.cases.steps import BY_LEAD, DOUBLE_REVIEW
from review.queue.skips import SKIP_REASONS
from schemas.events import ReviewCase

What = Literal["message", "author"]
ERASURE: Final = "erasure"
# A segment is closed by a record that comes later than its age; not by one that comes as late.
_JUST_AFTER: Final = timedelta(seconds=1)
_RAISED: Final = re.compile("(author|conversation):[0-9]+")


def settled_at(state: CaseState) -> datetime | None:
    """When the decision on a case was settled; None where the case is open."""
    return state.history[-1].at if state.phase == "settled" and state.history else None


def forget_at(entry: Entry, keep: timedelta) -> datetime | None:
    """When the broker is to be told to forget a case; None: not yet, or it has been told."""
    match entry:
        case Decided():
            return entry.tell_at
        case CaseState(erased_at=erased_at) if erased_at is not None and entry.told_at is None:
            return erased_at
        case CaseState():
            settled = settled_at(entry)
            return None if settled is None else settled + keep
        case _:
            return None


def told(entry: Entry | None, now: datetime, keep: timedelta) -> Entry | None:
    """The entry once the broker has been told. None where it changes nothing.

    Whoever may write cases may also write null values. So one that comes before its time takes nothing from
    the table: a case that is open, or can still be reopened, keeps its text here.
    """
    due = None if entry is None else forget_at(entry, keep)
    if due is None or due > now:
        return None
    match entry:
        case Decided():
            return replace(entry, tell_at=None)
        case CaseState(phase="settled"):
            return forget(entry)
        case CaseState():
            return replace(entry, told_at=now)
        case _:
            return None


def came_again(entry: CaseState | Decided, now: datetime) -> CaseState | Decided:
    """The entry after its case has arrived once more: the broker has the words again, and is told again."""
    match entry:
        case Decided():
            return replace(entry, tell_at=now)
        case CaseState(erased_at=erased_at) if erased_at is not None:
            return replace(entry, told_at=None)
        case _:
            return entry


def digest_of(what: What, wanted: str) -> str:
    """What stands for an id in an erasure, so that the log of erasures does not keep what it erased."""
    return hashlib.sha256(f"{what}\0{wanted}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def erasure_id(what: What, wanted: str) -> str:
    """The `case_id` of the event that asks for an erasure. It is no case's id."""
    return f"{ERASURE}:{what}:{digest_of(what, wanted)}"


def parse_erasure(case_id: str) -> tuple[What, str] | None:
    """What to erase, and its digest; None where this is no such id."""
    match case_id.split(":"):
        case ["erasure", "message" | "author" as what, digest] if digest:
            return what, digest
        case _:
            return None


def is_meant(erasure: Erasure, case: ReviewCase) -> bool:
    """Whether a case is to be erased: of that message, or sent by that author before it was asked."""
    if erasure.what == "message":
        return digest_of("message", case.message_id) == erasure.digest
    if case.author_id is None or digest_of("author", case.author_id) != erasure.digest:
        return False
    return when_sent(case) <= erasure.at


def erase(state: CaseState, now: datetime) -> CaseState:
    """The case without its words and people's remarks, and the ids of who wrote it, and where. It stays open.

    Nor has it a trace any more, which leads to the platform's own records of the message.
    What people type about it from now on needs a new key.
    """
    bare = replace(state.case, text=None, highlights=[], author_id=None, conversation_id=None)
    return replace(_without_remarks(state), case=bare, erased_at=now, told_at=None, trace=None)


def _without_remarks(state: CaseState) -> CaseState:
    """The case without what people typed about it, and without the key of that."""
    pending = None if state.pending is None else replace(state.pending, note=None)
    judgements = [replace(judged, remark=None) for judged in state.judgements]
    history = [replace(step, reason=_one_word(step.reason), remark=None) for step in state.history]
    return replace(
        state, pending=pending, note=None, judgements=judgements, history=history, remarks_key=None
    )


def _one_word(reason: str | None) -> str | None:
    # Before version 2 of its events, a step's reason could be whatever somebody typed.
    known = reason in {*SKIP_REASONS, BY_LEAD, DOUBLE_REVIEW} or _RAISED.fullmatch(reason or "")
    return reason if known else None


def broom_at(sweep: Sweep, lags: tuple[timedelta, ...]) -> datetime | None:
    """When a partition next needs a record, so that Kafka closes the segment with what it was told to forget.

    Kafka compacts closed segments alone, and closes one only when a record comes that is later than
    `max.compaction.lag.ms`: on a quiet partition the words would stay. `lags` are those of the cases topic
    and of the changelog. None: all has been swept.
    """
    for lag in sorted(lags):
        due = sweep.told_at + lag + _JUST_AFTER
        if sweep.swept_at is None or sweep.swept_at < due:
            return due
    return None
