"""What a reviewer may send: every wrong field is named, and the decision's id is deterministic."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from review.cases.form import MAX_LEASE, MAX_NOTE, Form, parse_form, severity_levels, to_decision
from review.cases.state import CaseState, Judgement
from review.errors import InvalidFormError
from schemas.codec import decode, encode
from schemas.events import Origin, ReviewCase, ReviewDecision, Severity

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CASE = ReviewCase(
    "case:m:0:1", "label:m:0:1", "m-1", Origin("m", 0, 1), "stress", "escalation", "at_risk", 0.9, None, 70.0,
    [], "0" * 64, None, None, NOW,
)  # fmt: skip


def faults(body: bytes) -> dict[str, str]:
    with pytest.raises(InvalidFormError) as caught:
        parse_form(body)
    return caught.value.fields


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b'"at_risk"', b"[" * 100_000, b'{"finding": "\\ud800']
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert faults(body) == {"body": "must be one JSON object"}


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({}, {"finding", "lease"}),
        ({"finding": "maybe", "lease": "l"}, {"finding"}),
        ({"finding": ["at_risk"], "lease": "l"}, {"finding"}),
        ({"finding": "unsure", "lease": "   "}, {"lease"}),
        ({"finding": "unsure", "lease": 7, "note": [], "severity": {}}, {"lease", "note", "severity"}),
        ({"finding": "unsure", "lease": "A" * (MAX_LEASE + 1)}, {"lease"}),
        ({"finding": "unsure", "lease": "l", "note": "n" * (MAX_NOTE + 1)}, {"note"}),
        ({"finding": "unsure", "lease": "l\nm"}, {"lease"}),
    ],
)
def test_every_wrong_field_is_named(sent: dict[str, object], wrong: set[str]) -> None:
    assert set(faults(msgspec.json.encode(sent))) == wrong


def test_a_lone_surrogate_does_not_reach_the_topic() -> None:
    assert set(faults(b'{"finding": "unsure", "lease": "l", "note": "\\ud83d"}')) <= {"note", "body"}


def test_blanks_count_as_absent() -> None:
    form = parse_form(b'{"finding": "unsure", "lease": " l ", "severity": "", "note": " ", "extra": 1}')
    assert form == Form("unsure", "l", None, None)


def of_levels(*levels: str) -> CaseState:
    return CaseState(structs.replace(CASE, levels=list(levels)), 0)


def test_severity_goes_with_risk_and_must_be_a_level() -> None:
    task = of_levels("low", "high")
    assert to_decision(Form("at_risk", "l", "high"), task, "aoi", NOW).severity == "high"
    assert to_decision(Form("at_risk", "l", "anything"), of_levels(), "aoi", NOW).severity == "anything"
    for form in (Form("unsure", "l", "high"), Form("at_risk", "l", "extreme")):
        with pytest.raises(InvalidFormError) as caught:
            to_decision(form, task, "aoi", NOW)
        assert set(caught.value.fields) == {"severity"}


def test_the_levels_are_the_cases_own_or_those_of_its_severity_in_earlier_versions() -> None:
    sample = structs.replace(CASE, levels=["low", "moderate", "high"])
    assert severity_levels(sample) == ("low", "moderate", "high")
    assert severity_levels(structs.replace(CASE, severity=Severity("high", {"low": 0.2, "high": 0.8}))) == (
        "low",
        "high",
    )
    assert severity_levels(CASE) == ()


def test_a_decision_names_what_it_replaces_and_what_the_case_was_scored_by() -> None:
    before = Judgement("decision:1", "ben", "unsure", None, NOW, published=True)
    state = CaseState(structs.replace(CASE, scored_by="s"), 0, judgements=[before])
    decision = to_decision(Form("not_at_risk", "l"), state, "aoi", NOW)
    assert (decision.supersedes, decision.bundle, decision.scored_by) == ("decision:1", CASE.bundle, "s")
    assert decision.id != to_decision(Form("not_at_risk", "l"), CaseState(CASE, 0), "aoi", NOW).id


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
NOTES = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(NAMES, NOTES)
def test_a_form_becomes_a_decision_that_consumers_can_read(reviewer: str, note: str | None) -> None:
    form = parse_form(msgspec.json.encode({"finding": "not_at_risk", "lease": "l", "note": note}))
    decision = to_decision(form, CaseState(CASE, 0), reviewer, NOW)
    assert decode(ReviewDecision, encode(decision)) == decision
    assert to_decision(form, CaseState(CASE, 0), reviewer, NOW).id == decision.id
