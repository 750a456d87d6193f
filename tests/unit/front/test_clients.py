"""The clients that people have, from PyPI, unchanged, against a front."""

import json
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from googleapiclient import discovery
from googleapiclient.errors import HttpError

from engine.scores import Scores
from mimamori.soak.canned_engine import CannedEngine
from tests.fakes.served_front import ServedFront, served_front
from tests.fakes.worker_app import POLICY
from tests.unit.front.test_front import ask

TOKEN = "a-token-that-is-long-enough"  # noqa: S105 - of a front that lives as long as the tests
TEXTS = [f"line {number}: I keep thinking about the exam" for number in range(40)]


@pytest.fixture(scope="module")
def front() -> Iterator[ServedFront]:
    with served_front(
        tokens=TOKEN, categories={"self-harm": "stress"}, attributes={"THREAT": "stress"}
    ) as it:
        yield it


@pytest.fixture(scope="module")
def ai(front: ServedFront) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def analyser(front: ServedFront) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        # As Perspective's guide shows it, but for the host.
        client = discovery.build(
            "commentanalyzer",
            "v1alpha1",
            developerKey=TOKEN,
            discoveryServiceUrl=f"{front.url}/$discovery/rest?version=v1alpha1",
            static_discovery=False,
        )
    yield client
    client.close()


def comment(text: str, **more: object) -> dict[str, object]:
    return {"comment": {"text": text}, "requestedAttributes": {"STRESS": {}}, **more}


def verdict(text: str) -> tuple[float, str]:
    """What the engine and the policy say of a text, without a front."""
    (scores,) = CannedEngine(levels=3).read([text])
    return scores.risk, POLICY.verdict(scores.risk)


def test_openais_client_gets_a_result_for_each_text_in_order(ai: openai.OpenAI) -> None:
    answer = ai.moderations.create(input=TEXTS)
    assert answer.model == "stress-0123456789ab"
    assert len(answer.results) == len(TEXTS)
    for text, result in zip(TEXTS, answer.results, strict=True):
        risk, said = verdict(text)
        assert result.category_scores.self_harm == risk
        assert result.category_scores.to_dict() == {"stress": risk, "self-harm": risk}
        assert result.flagged == result.categories.self_harm == (said != "clear")
        assert result.category_applied_input_types.self_harm == ["text"]
        found = result.to_dict()["mimamori"]
        assert isinstance(found, dict)
        assert (found["verdict"], found["escalate"]) == (said, said != "clear")
    assert {verdict(text)[1] for text in TEXTS} == {"clear", "uncertain", "at_risk"}


def test_a_category_that_nobody_screened_is_absent_and_not_false(ai: openai.OpenAI) -> None:
    (result,) = ai.moderations.create(input="good morning").results
    assert set(result.categories.to_dict()) == {"stress", "self-harm"}
    assert result.categories.violence is None  # as this client shows what is absent


def test_text_parts_are_one_text_and_images_are_refused(ai: openai.OpenAI) -> None:
    parts: Any = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    (result,) = ai.moderations.create(model="omni-moderation-latest", input=parts).results
    assert result.category_scores.self_harm == verdict("one\ntwo")[0]
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(openai.BadRequestError) as refused:
        ai.moderations.create(input=[*parts, image])
    assert (refused.value.param, refused.value.code) == ("input[2]", "unsupported_input")


def test_openais_client_raises_its_own_errors(ai: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        ai.with_options(api_key="a-token-that-is-long-enougH").moderations.create(input="hello")
    with pytest.raises(openai.NotFoundError, match="stress-0123456789ab"):
        ai.moderations.create(input="hello", model="somebody-elses")
    with pytest.raises(openai.BadRequestError) as refused:
        ai.moderations.create(input=["hello", "\u200b "])
    assert (refused.value.param, refused.value.code) == ("input[1]", "empty_input")


def test_perspectives_client_gets_a_probability(analyser: Any) -> None:
    text = "🫖 so much to do, so little sleep"
    asked = comment(text, clientToken="7", doNotStore=True, languages=["en"], spanAnnotations=True)
    asked["requestedAttributes"] = {"STRESS": {"scoreThreshold": 0}, "THREAT": {"scoreType": "PROBABILITY"}}
    answer = analyser.comments().analyze(body=asked).execute()
    risk, said = verdict(text)
    score = {"value": risk, "type": "PROBABILITY"}
    span = {"begin": 0, "end": len(text) + 1, "score": score}  # UTF-16: the teapot has two units
    expected = {"summaryScore": score, "spanScores": [span]}
    assert answer["attributeScores"] == {"STRESS": expected, "THREAT": expected}
    assert (answer["clientToken"], answer["languages"]) == ("7", ["en"])
    assert (answer["mimamori"]["verdict"], answer["mimamori"]["escalate"]) == (said, said != "clear")


@pytest.mark.parametrize(
    ("asked", "message", "kind"),
    [
        (comment(" "), "Comment must be non-empty.", "COMMENT_EMPTY"),
        (comment("hi", requestedAttributes={}), "Missing requested_attributes", "NO_REQUESTED_ATTRIBUTES"),
        (
            comment("hi", requestedAttributes={"TOXICITY": {}}),
            "Unknown requested attribute: TOXICITY",
            "INVALID_REQUEST",
        ),
        (
            comment("guten Tag", languages=["en", "de"]),
            "Attribute STRESS does not support request languages: en, de",
            "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
        ),
        (
            {**comment(""), "comment": {"text": "<b>hi</b>", "type": "HTML"}},
            "Currently, only 'PLAIN_TEXT' comments are supported",
            "INVALID_REQUEST",
        ),
    ],
)
def test_perspectives_client_raises_its_own_errors(
    analyser: Any, asked: dict[str, object], message: str, kind: str
) -> None:
    with pytest.raises(HttpError) as refused:
        analyser.comments().analyze(body=asked).execute()
    assert refused.value.status_code == 400
    error = json.loads(refused.value.content)["error"]
    assert (error["message"], error["status"]) == (message, "INVALID_ARGUMENT")
    assert error["details"][0]["errorType"] == kind


def test_an_unsupported_language_has_no_score_even_where_it_may_be_dropped(analyser: Any) -> None:
    asked = comment("guten Tag", languages=["de"], dropUnsupportedAttributes=True)
    answer = analyser.comments().analyze(body=asked).execute()
    assert answer["attributeScores"] == {}
    assert "unsupported_language" in answer["mimamori"]["reasons"]
    assert answer["mimamori"]["escalate"]


PATH = "/v1alpha1/comments:analyze"


class Read(CannedEngine):
    """Gives every text the same scores."""

    def __init__(self, risk: float, *, truncated: bool = False, obfuscated: bool = False) -> None:
        super().__init__(levels=3)
        self.scores = Scores(risk, None, 1, truncated=truncated, obfuscated=obfuscated)

    def read(self, texts: Sequence[str]) -> list[Scores]:
        return [self.scores for _ in texts]


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (Read(0.01, truncated=True), "COMMENT_TOO_LONG"),
        (Read(0.3, truncated=True), "COMMENT_TOO_LONG"),
        (Read(0.01, obfuscated=True), None),
        (Read(math.nan), None),
    ],
)
def test_a_verdict_that_the_score_did_not_decide_has_no_score(scores: Read, kind: str | None) -> None:
    with served_front(scores) as front:
        for more in ({}, {"dropUnsupportedAttributes": True}):
            status, answer, _ = ask(front.url, comment("a line", **more), PATH)
            error: Any = answer["error"]
            assert (status, error["status"]) == (400, "INVALID_ARGUMENT")
            assert "a person must look" in error["message"]
            assert [detail["errorType"] for detail in error.get("details", [])] == ([kind] if kind else [])
            assert "attributeScores" not in answer
        _, moderated, _ = ask(front.url, {"input": "a line"})
        results: Any = moderated["results"]
        assert results[0]["flagged"]
        assert all(results[0]["categories"].values())


def test_a_high_score_is_given_whatever_was_not_read() -> None:
    with served_front(Read(0.99, truncated=True)) as front:
        status, answer, _ = ask(front.url, comment("a line"), PATH)
    scores: Any = answer["attributeScores"]
    assert (status, scores["STRESS"]["summaryScore"]["value"]) == (200, 0.99)


@pytest.mark.filterwarnings("ignore")
def test_the_guides_examples_run_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "screen-by-http.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    with served_front() as front:
        for example in examples:
            names: dict[str, Any] = {}
            code = example.replace("http://127.0.0.1:8088", front.url)
            exec(compile(code, "example", "exec"), names)  # noqa: S102 - our own
            names["client"].close()
    said = capsys.readouterr().out
    assert len(re.findall(r"\b(clear|uncertain|at_risk)\b", said)) == 3
