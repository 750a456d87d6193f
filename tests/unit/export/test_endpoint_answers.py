"""What counts as an answer of a chat model, and what does not. A refusal is never "No"."""

import json
import math
from operator import itemgetter
from typing import Any

import pytest

from engine.task import RiskStage
from export.baselines.endpoint.answer import read_reply, risk_of
from tests.fakes.chat_server import said

RISK = RiskStage(question="Stressed? Yes or No.", clear="No", at_risk="Yes")


def risk(content: str | None, **others: Any) -> float:
    reply = read_reply(json.dumps(said(content, **others)).encode())
    assert reply is not None
    return risk_of(reply, RISK)


@pytest.mark.parametrize(
    "content",
    ["Yes", "yes.", " **YES**\n", "Answer: Yes", '{"answer": "Yes"}', "<think>No?</think>\nYes", "「Yes」"],
)
def test_one_word_is_an_answer(content: str) -> None:
    assert risk(content) == 1.0
    assert (
        risk(content.replace("No?", "Why?").replace("Yes", "No").replace("yes", "no").replace("YES", "NO"))
        == 0.0
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        None,
        "No, I cannot help with that.",
        "I'm sorry, but no.",
        "Yes and no",
        "Perhaps",
        "Note: this is hard",
        '{"answer": "No", "sure": "Yes"}',
        '{"answer": ',
        "42",
        "\u0000",
    ],
)
def test_anything_else_is_none(content: str | None) -> None:
    assert math.isnan(risk(content))


def test_a_refusal_is_none_whatever_else_is_said() -> None:
    assert math.isnan(risk("No", message={"content": "No", "refusal": "I will not"}))
    assert math.isnan(risk("No", finish_reason="content_filter"))


def weighed(*words: dict[str, float]) -> dict[str, Any]:
    """Logprobs of a reply's words: each a token's probability by the token."""
    places = [
        {
            "token": max(word.items(), key=itemgetter(1))[0],
            "top_logprobs": [{"token": t, "logprob": math.log(p)} for t, p in word.items()],
        }
        for word in words
    ]
    return {"logprobs": {"content": places}}


def test_logprobs_grade_the_answer() -> None:
    assert risk("Yes", **weighed({"Yes": 0.5, " yes": 0.1, "No": 0.2, "Maybe": 0.1})) == pytest.approx(0.75)
    assert risk("No", **weighed({"No": 0.2, "Yes": 0.1, "The": 0.15})) == pytest.approx(1 / 3)
    assert risk("No.", **weighed({"No": 0.9, "Yes": 0.1}, {".": 1.0})) == pytest.approx(0.1)
    assert risk(
        '{"answer":"No"}', **weighed({'{"': 1.0}, {"No": 0.6, "Yes": 0.2}, {'"}': 1.0})
    ) == pytest.approx(0.25)


def test_logprobs_of_something_else_do_not() -> None:
    assert math.isnan(risk("No, I cannot help with that", **weighed({"No": 1.0}, {",": 1.0})))
    assert risk("Yes", **weighed({"No": 1.0})) == 1.0  # of another word: the sides differ
    assert risk("Yes", **weighed({"I": 0.6, "Yes": 0.3, "No": 0.1})) == 1.0
    assert risk("Yes", logprobs={"content": None}) == 1.0
    assert risk("Yes", logprobs={"content": [{"top_logprobs": []}]}) == 1.0


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b'{"choices": []}', b"[" * 100_000, b"\xff", b'{"choices": 1}']
)
def test_what_is_no_completion_is_none(content: bytes) -> None:
    assert read_reply(content) is None
