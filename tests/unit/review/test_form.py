"""What a reviewer may send: every wrong field is named, and the decision's id is deterministic."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.cases.form import MAX_NOTE, Form, parse_form, to_decision
from review.errors import InvalidFormError
from schemas.codec import decode, encode
from schemas.events import Origin, ReviewCase, ReviewDecision

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CASE = ReviewCase(
    "case:m:0:1", "label:m:0:1", "m-1", Origin("m", 0, 1), "stress", "escalation", "at_risk", 0.9, None, 70.0,
    [], "0" * 64, None, None, NOW,
)  # fmt: skip
LEVELS = ("low", "high")


def faults(body: bytes) -> dict[str, str]:
    with pytest.raises(InvalidFormError) as caught:
        parse_form(body, "Aoi")
    return caught.value.fields


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b'"at_risk"', b"[" * 100_000, b'{"finding": "\\ud800']
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert faults(body) == {"body": "must be one JSON object"}


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({}, {"finding"}),
        ({"finding": "maybe"}, {"finding"}),
        ({"finding": ["at_risk"]}, {"finding"}),
        ({"finding": "unsure", "note": [], "severity": {}}, {"note", "severity"}),
        ({"finding": "unsure", "note": "n" * (MAX_NOTE + 1)}, {"note"}),
        ({"finding": "unsure", "severity": "A\nB"}, {"severity"}),
    ],
)
def test_every_wrong_field_is_named(sent: dict[str, object], wrong: set[str]) -> None:
    assert set(faults(msgspec.json.encode(sent))) == wrong


def test_a_lone_surrogate_does_not_reach_the_topic() -> None:
    assert set(faults(b'{"finding": "unsure", "note": "\\ud83d"}')) <= {"note", "body"}


def test_blanks_count_as_absent_and_the_reviewer_is_who_is_signed_in() -> None:
    form = parse_form(b'{"finding": "unsure", "reviewer": "Ben", "severity": "", "note": " "}', "Aoi")
    assert form == Form("unsure", "Aoi", None, None)


def test_severity_goes_with_risk_and_must_be_a_level() -> None:
    assert to_decision(Form("at_risk", "Aoi", "high"), CASE, LEVELS, NOW).severity == "high"
    assert to_decision(Form("at_risk", "Aoi", "anything"), CASE, (), NOW).severity == "anything"
    for form in (Form("unsure", "Aoi", "high"), Form("at_risk", "Aoi", "extreme")):
        with pytest.raises(InvalidFormError) as caught:
            to_decision(form, CASE, LEVELS, NOW)
        assert set(caught.value.fields) == {"severity"}


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
NOTES = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(NAMES, NOTES)
def test_a_form_becomes_a_decision_that_consumers_can_read(reviewer: str, note: str | None) -> None:
    form = parse_form(msgspec.json.encode({"finding": "not_at_risk", "note": note}), reviewer)
    decision = to_decision(form, CASE, LEVELS, NOW)
    assert decode(ReviewDecision, encode(decision)) == decision
    assert to_decision(form, CASE, LEVELS, NOW).id == decision.id
