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


def decision(name: str) -> dict[str, Any]:
    examples = json.loads((ROOT / "schemas/examples/review-decision.json").read_text("utf-8"))
    return next(each["payload"] for each in examples if each["name"] == name)


def test_a_statement_of_reasons_says_what_was_decided_and_neither_note_nor_name() -> None:
    made = example("statement")(
        decision("at-risk"), "DECISION_VISIBILITY_CONTENT_DISABLED", "Terms, 4.2", "It calls on others."
    )
    assert made["application_date"] == "2026-03-14"
    assert made["automated_decision"] == "AUTOMATED_DECISION_NOT_AUTOMATED"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,500}", made["puid"])
    written = json.dumps(made)
    assert NOTE not in written
    assert decision("at-risk")["reviewer"] not in written


@pytest.mark.parametrize("name", ["not-at-risk", "unsure"])
def test_where_nobody_found_a_risk_there_is_no_statement(name: str) -> None:
    with pytest.raises(ValueError, match="nobody found"):
        example("statement")(decision(name), "", "", "")


def test_the_reference_has_every_call_and_no_other() -> None:
    told = re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", API.read_text("utf-8"), re.MULTILINE)
    assert told == [(call.method, call.path) for call in CALLS]
