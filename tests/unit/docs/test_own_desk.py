"""The examples for those with a desk of their own do what the page says, and name calls that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from review.web.calls import CALLS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/how-to/use-your-own-desk.md"
API = ROOT / "docs/reference/desk-api.md"
NOTE = "Sleep and work"


def example(name: str) -> Any:
    """A function of the page."""
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        if f"def {name}(" in block
    )
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - it is our own page
    return names[name]


def payload(event: str, name: str) -> dict[str, Any]:
    examples = json.loads((ROOT / f"schemas/examples/{event}.json").read_text("utf-8"))
    return next(each["payload"] for each in examples if each["name"] == name)


CASE = payload("review-case", "escalation")
# What the documentation of the Transparency Database's API requires, for a restriction by one's own terms.
REQUIRED = {
    "decision_ground",
    "incompatible_content_ground",
    "incompatible_content_explanation",
    "content_type",
    "category",
    "territorial_scope",
    "content_date",
    "application_date",
    "decision_facts",
    "source_type",
    "automated_detection",
    "automated_decision",
    "puid",
}
DONE = {
    "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
    "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
    "incompatible_content_ground": "Terms, 4.2",
    "incompatible_content_explanation": "It calls on others.",
    "category": "STATEMENT_CATEGORY_SELF_HARM",
    "territorial_scope": ["DE"],
}


def test_a_statement_of_reasons_is_whole_and_holds_neither_text_nor_note_nor_anybody() -> None:
    decision = payload("review-decision", "at-risk")
    made = example("statement")(CASE, decision, DONE)
    assert set(made) == REQUIRED | {"decision_visibility"}
    assert (made["application_date"], made["content_date"]) == ("2026-03-14", "2026-03-14")
    assert made["automated_detection"] == "Yes"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,500}", made["puid"])
    written = json.dumps(made)
    personal = [NOTE, decision["reviewer"], CASE["text"], CASE["author_id"], CASE["message_id"]]
    assert not [each for each in personal if each in written]


def test_what_no_model_picked_out_was_not_detected_automatically() -> None:
    made = example("statement")(
        CASE | {"kind": "quality_sample", "sent_at": None}, payload("review-decision", "at-risk"), DONE
    )
    assert made["automated_detection"] == "No"
    assert "content_date" not in made


@pytest.mark.parametrize("name", ["not-at-risk", "unsure"])
def test_where_nobody_found_a_risk_there_is_no_statement(name: str) -> None:
    with pytest.raises(ValueError, match="nobody found"):
        example("statement")(CASE, payload("review-decision", name), DONE)


def test_the_reference_has_every_call_and_no_other() -> None:
    told = re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", API.read_text("utf-8"), re.MULTILINE)
    assert told == [(call.method, call.path) for call in CALLS]
