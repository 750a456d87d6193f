"""The table's entries: a case that arrives, what is held, what is forgotten, and what expires."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.cases.entries import Entry, Subject, Unreadable, decode_entry, encode_entry, receive_case
from review.cases.expiry import Expiry
from review.cases.held import MAX_HELD, Held, HeldEvent, hold
from review.cases.keys import case_key, held_key, unreadable_key
from review.cases.remains import Decided, forget
from review.cases.state import CaseState, Judgement, Step
from schemas.events import Origin, ReviewCase

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
JUDGED = Judgement("decision:1", "aoi", "not_at_risk", None, NOW, published=True, digest="d")
SETTLED = CaseState(CASE, 1, 3, "settled", judgements=[JUDGED], history=[Step("settled", "desk", NOW)])
MARKER = Decided("decision:1", CASE.id, "aoi", "not_at_risk", None, NOW, 1, 3)
HELD = Held(CASE.id, 1, [HeldEvent("case-events", 4, "unknown_case", "claimed", "nobody", NOW)])


def test_a_case_opens_once_and_a_decided_one_not_again() -> None:
    opened, outcome = receive_case(None, CASE, 1)
    assert (opened, outcome) == (CaseState(CASE, 1, script="Latn"), "opened")
    again = msgspec.structs.replace(CASE, text="something else")
    assert receive_case(opened, again, 1) == (opened, "repeated")
    assert receive_case(SETTLED, again, 1) == (SETTLED, "already_decided")
    assert receive_case(MARKER, again, 1) == (MARKER, "already_decided")


def test_a_settled_case_forgets_everything_but_its_decision() -> None:
    marker = forget(SETTLED)
    assert isinstance(marker, Decided)
    assert msgspec.structs.replace(marker, summary=None) == MARKER
    content = encode_entry(forget(SETTLED))
    assert CASE.text is not None
    assert CASE.text.encode() not in content
    assert b"m-7" not in content
    assert len(content) < 800


def test_an_open_case_forgets_the_text_and_stays_open() -> None:
    bare = forget(CaseState(CASE, 1, raised=["author"]))
    assert isinstance(bare, CaseState)
    assert bare.case.text is None
    assert (bare.phase, bare.raised, bare.case.message_id) == ("waiting", ["author"], "m-7")


@pytest.mark.parametrize(
    "entry", [CaseState(CASE, 1), SETTLED, MARKER, HELD, Unreadable("t", 0, 4, "invalid_json", NOW)]
)
def test_entries_survive_the_table(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


def test_what_the_first_version_of_the_desk_kept_can_be_read() -> None:
    case = msgspec.to_builtins(CASE)
    opened = msgspec.json.encode({"type": "open", "case": case, "partition": 1})
    assert decode_entry(opened) == CaseState(CASE, 1)
    decided = {"decision_id": "decision:1", "case_id": CASE.id, "reviewer": "aoi", "finding": "not_at_risk"}
    rest = {"type": "decided", "severity": None, "decided_at": NOW, "partition": 1}
    assert decode_entry(msgspec.json.encode(decided | rest)) == msgspec.structs.replace(MARKER, revision=0)


def test_what_is_no_entry_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_entry(b'{"type": "closed"}')


@given(st.lists(st.integers(0, 30), max_size=60))
def test_held_events_are_bounded_and_counted_once(offsets: list[int]) -> None:
    held: Held | None = None
    for offset in offsets:
        held = hold(held, CASE.id, 1, HeldEvent("t", offset, "bad_signature", "claimed", "nobody", NOW))
    if held is not None:
        kept = [event.offset for event in held.events]
        assert kept == list(dict.fromkeys(offsets))[:MAX_HELD]
        assert held.more == sum(offset not in kept for offset in offsets)


def test_what_is_closed_expires_after_its_time_and_what_is_open_never() -> None:
    old, fresh = NOW - timedelta(days=91), NOW - timedelta(days=89)

    def settled(at: datetime, partition: int = 0) -> CaseState:
        return msgspec.structs.replace(SETTLED, partition=partition, history=[Step("settled", "desk", at)])

    entries: list[tuple[bytes, Entry]] = [
        (b"marker", msgspec.structs.replace(MARKER, decided_at=old - timedelta(1), partition=0)),
        (b"open", CaseState(msgspec.structs.replace(CASE, opened_at=old), 0)),
        (b"old", settled(old)),
        (b"fresh", settled(fresh)),
        (b"elsewhere", settled(old, 1)),
        (b"reopened", settled(old)),
        (b"gone", settled(old)),
        (b"held", msgspec.structs.replace(HELD, partition=0)),
        (b"unreadable", Unreadable("t", 0, 4, "invalid_json", old)),
        (b"window", Subject("author", 0, [], NOW - timedelta(hours=49))),
        (b"new window", Subject("author", 0, [], NOW - timedelta(hours=47))),
    ]
    expiry = Expiry(timedelta(days=90))
    for key, entry in entries:
        expiry.put(key, entry)
    expiry.put(b"reopened", CaseState(CASE, 0))
    expiry.drop(b"gone")
    assert expiry.due(0, NOW) == [b"marker", b"old", b"unreadable", b"window"]
    assert expiry.due(1, NOW) == [b"elsewhere"]
    expiry.clear()
    assert expiry.due(0, NOW) == []


def test_keys_of_different_entries_never_meet() -> None:
    keys = {case_key("unreadable:t:0:4"), held_key("unreadable:t:0:4"), unreadable_key("t", 0, 4)}
    assert len(keys) == 3
