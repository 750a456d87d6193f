"""What the table holds, and how an event changes it. Pure: no clock, no Kafka, no Faust.

    entry before     case arrives          decision arrives
    ──────────────   ──────────────────    ─────────────────────────────────────────────
    nothing          Open                  Decided (early: the case will not open later)
    Open             unchanged             Decided (the text is dropped)
    Decided          unchanged             unchanged (the first decision stands)

Every arrow is idempotent: at-least-once delivery, redelivery and restarts change nothing.
A marker (`Decided`, `Unreadable`) can be pruned; a case delivered again after that opens again.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

import msgspec

from schemas.events import ReviewCase, ReviewDecision
from schemas.vocabulary import Finding

Outcome = Literal["opened", "repeated", "already_decided", "decided", "early"]


class Open(msgspec.Struct, frozen=True, tag="open"):
    """A case waiting for a person. `partition` is where its events are, and its decision must go."""

    case: ReviewCase
    partition: int


class Decided(msgspec.Struct, frozen=True, tag="decided"):
    """The small marker a decided case leaves: who, what and when, and no text."""

    decision_id: str
    case_id: str
    reviewer: str
    finding: Finding
    severity: str | None
    decided_at: datetime
    partition: int


class Unreadable(msgspec.Struct, frozen=True, tag="unreadable"):
    """A record that is no case and no decision. `detail` names the field or rule, never the content."""

    topic: str
    partition: int
    offset: int
    detail: str
    seen_at: datetime


Entry = Open | Decided | Unreadable

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """An entry as the table and its changelog keep it."""
    return msgspec.json.encode(entry)


def decode_entry(value: bytes) -> Entry:
    """The inverse of `encode_entry`. Raises msgspec.MsgspecError on anything else."""
    return _decoder.decode(value)


def case_key(case_id: str) -> bytes:
    """Where a case or its marker is kept."""
    return b"case:" + case_id.encode()


def unreadable_key(topic: str, partition: int, offset: int) -> bytes:
    """Where an unreadable record is kept: its place, so that a redelivery is not counted twice."""
    return f"unreadable:{topic}:{partition}:{offset}".encode()


def marker(decision: ReviewDecision, partition: int) -> Decided:
    """What remains of a case once this decision stands."""
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
    """The entry after a case has arrived."""
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
    """The entry after a decision has arrived."""
    match entry:
        case None:
            return marker(decision, partition), "early"
        case Open():
            return marker(decision, partition), "decided"
        case Decided():
            return entry, "repeated"


def expired(entries: Iterable[tuple[bytes, Entry]], partition: int, before: datetime) -> Iterator[bytes]:
    """Keys of this partition's markers older than `before`. Open cases never expire."""
    for key, entry in entries:
        match entry:
            case Decided(decided_at=time) | Unreadable(seen_at=time):
                if entry.partition == partition and time.timestamp() < before.timestamp():
                    yield key
            case Open():
                pass
