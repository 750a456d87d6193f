"""The table's transitions: idempotent, in any order, with the first decision standing."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.cases.entries import (
    Decided,
    Entry,
    Open,
    Unreadable,
    case_key,
    decode_entry,
    encode_entry,
    expired,
    marker,
    receive_case,
    receive_decision,
    unreadable_key,
)
from schemas.events import Origin, ReviewCase, ReviewDecision

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
CASE = ReviewCase(
    id="case:messages:0:7",
    label_id="label:messages:0:7",
    message_id="m-7",
    origin=Origin("messages", 0, 7),
    task="stress",
    kind="escalation",
    verdict="at_risk",
    risk=0.9,
    severity=None,
    priority=70.0,
    reasons=["above_upper_threshold"],
    bundle="0" * 64,
    conversation_id=None,
    text="nobody at work talks to me since the move, and I stopped trying",
    opened_at=NOW,
)


def decision(reviewer: str) -> ReviewDecision:
    return ReviewDecision(
        f"decision:{CASE.id}:{reviewer}",
        CASE.id,
        CASE.message_id,
        CASE.task,
        reviewer,
        "unsure",
        None,
        "n",
        NOW,
    )


AOI, BEN = decision("Aoi"), decision("Ben")
Deliveries = st.lists(st.sampled_from([CASE, AOI, BEN]), max_size=12)


def play(events: list[ReviewCase | ReviewDecision]) -> Open | Decided | None:
    entry: Open | Decided | None = None
    for event in events:
        if isinstance(event, ReviewCase):
            entry, _ = receive_case(entry, event, 3)
        else:
            entry, _ = receive_decision(entry, event, 3)
    return entry


@given(Deliveries)
def test_the_first_decision_stands_however_often_and_late_anything_is_delivered(
    events: list[ReviewCase | ReviewDecision],
) -> None:
    first = next((event for event in events if isinstance(event, ReviewDecision)), None)
    if first is not None:
        assert play(events) == marker(first, 3)
    else:
        assert play(events) == (Open(CASE, 3) if events else None)


@given(Deliveries)
def test_delivering_everything_again_changes_nothing(events: list[ReviewCase | ReviewDecision]) -> None:
    assert play(events + events) == play(events)


def test_each_arrow_says_what_it_did() -> None:
    assert receive_case(None, CASE, 0)[1] == "opened"
    assert receive_case(Open(CASE, 0), CASE, 0)[1] == "repeated"
    assert receive_case(marker(AOI, 0), CASE, 0)[1] == "already_decided"
    assert receive_decision(None, AOI, 0)[1] == "early"
    assert receive_decision(Open(CASE, 0), AOI, 0)[1] == "decided"
    assert receive_decision(marker(AOI, 0), BEN, 0)[1] == "repeated"


def test_a_decided_case_keeps_neither_text_nor_note() -> None:
    entry = play([CASE, AOI])
    assert entry is not None
    content = encode_entry(entry)
    assert CASE.text is not None
    assert CASE.text.encode() not in content
    assert b"note" not in content
    assert len(content) < 400


@pytest.mark.parametrize("entry", [Open(CASE, 1), marker(AOI, 1), Unreadable("t", 0, 4, "invalid_json", NOW)])
def test_entries_survive_the_table(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


def test_what_is_no_entry_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_entry(b'{"type": "closed"}')


def test_only_old_markers_of_the_partition_expire() -> None:
    old, fresh = NOW - timedelta(days=91), NOW - timedelta(days=89)
    entries: list[tuple[bytes, Entry]] = [
        (b"open", Open(msgspec.structs.replace(CASE, opened_at=old), 0)),
        (b"old", marker(msgspec.structs.replace(AOI, decided_at=old), 0)),
        (b"fresh", marker(msgspec.structs.replace(AOI, decided_at=fresh), 0)),
        (b"elsewhere", marker(msgspec.structs.replace(AOI, decided_at=old), 1)),
        (b"unreadable", Unreadable("t", 0, 4, "invalid_json", old)),
    ]
    assert list(expired(entries, 0, NOW - timedelta(days=90))) == [b"old", b"unreadable"]


def test_keys_of_cases_and_unreadable_records_never_meet() -> None:
    assert case_key("unreadable:t:0:4") != unreadable_key("t", 0, 4)
