"""Defines the entries of the desk's table and how an event changes one. Pure: no clock, no Kafka, no Faust.

    entry before     case arrives          decision arrives
    ──────────────   ──────────────────    ─────────────────────────────────────────────
    nothing          Open                  Decided (early: the case will not open later)
    Open             unchanged             Decided (the text is dropped)
    Decided          unchanged             unchanged (the first decision stands)

Every transition is idempotent, so events that are delivered again, for example after a restart, change
nothing. A marker (`Decided`, `Unreadable`) can be pruned; a case that is delivered after that opens again.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

import msgspec

from schemas.events import ReviewCase, ReviewDecision
from schemas.vocabulary import Finding

Outcome = Literal["opened", "repeated", "already_decided", "decided", "early"]


class Open(msgspec.Struct, frozen=True, tag="open"):
    """A case that waits for a person. Its events are in `partition`, and its decision must go there."""

    case: ReviewCase
    partition: int


class Decided(msgspec.Struct, frozen=True, tag="decided"):
    """The small marker that a decided case leaves: who decided what and when, without any text."""

    decision_id: str
    case_id: str
    reviewer: str
    finding: Finding
    severity: str | None
    decided_at: datetime
    partition: int


class Unreadable(msgspec.Struct, frozen=True, tag="unreadable"):
    """A record that is neither case nor decision. `detail` names the field or rule, never the content."""

    topic: str
    partition: int
    offset: int
    detail: str
    seen_at: datetime


Entry = Open | Decided | Unreadable

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Encode an entry for the table and its changelog."""
    return msgspec.json.encode(entry)


def decode_entry(value: bytes) -> Entry:
    """Decode what `encode_entry` wrote. Raises msgspec.MsgspecError: it is anything else."""
    return _decoder.decode(value)


def case_key(case_id: str) -> bytes:
    """Return the key of a case or its marker."""
    return b"case:" + case_id.encode()


def unreadable_key(topic: str, partition: int, offset: int) -> bytes:
    """Return the key of an unreadable record: its place in Kafka, so that a redelivery counts only once."""
    return f"unreadable:{topic}:{partition}:{offset}".encode()


def marker(decision: ReviewDecision, partition: int) -> Decided:
    """Make the marker that remains of a case after this decision."""
    return Decided(
        decision.id,
        decision.case_id,
        decision.reviewer,
        decision.finding,
        decision.severity,
        decision.decided_at,
        partition,
    )


def receive_case(
    entry: Open | Decided | None, case: ReviewCase, partition: int
) -> tuple[Open | Decided, Outcome]:
    """Return the entry after a case has arrived, and what that was."""
    match entry:
        case None:
            return Open(case, partition), "opened"
        case Open():
            return entry, "repeated"
        case Decided():
            return entry, "already_decided"


def receive_decision(
    entry: Open | Decided | None, decision: ReviewDecision, partition: int
) -> tuple[Decided, Outcome]:
    """Return the entry after a decision has arrived, and what that was."""
    match entry:
        case None:
            return marker(decision, partition), "early"
        case Open():
            return marker(decision, partition), "decided"
        case Decided():
            return entry, "repeated"


def expired(entries: Iterable[tuple[bytes, Entry]], partition: int, before: datetime) -> Iterator[bytes]:
    """Yield the keys of this partition's markers that are older than `before`. Open cases never expire."""
    for key, entry in entries:
        match entry:
            case Decided(decided_at=time) | Unreadable(seen_at=time):
                if entry.partition == partition and time.timestamp() < before.timestamp():
                    yield key
            case Open():
                pass
