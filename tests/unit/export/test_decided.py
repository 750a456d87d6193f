"""People's decisions as labelled examples: which of them count, and that a sample of them is a fair one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import sqrt
from random import Random

import pytest

from engine.errors import TaskError
from engine.task import load_task
from export.decided import examples_of_decisions, without_case
from schemas.events import Origin, ReviewCase, ReviewDecision
from schemas.vocabulary import CaseKind, Finding

STRESS = load_task("stress")
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
Pair = tuple[ReviewCase, ReviewDecision]


def _decided(
    number: int,
    finding: Finding,
    *,
    text: str | None = None,
    kind: CaseKind = "escalation",
    severity: str | None = None,
    shortened: bool = False,
    task: str = STRESS.name,
) -> Pair:
    case = ReviewCase(
        id=f"case:messages:0:{number}",
        label_id=f"label:messages:0:{number}",
        message_id=f"m-{number}",
        origin=Origin("messages", 0, number),
        task=task,
        kind=kind,
        verdict="clear" if kind == "quality_sample" else "uncertain",
        risk=0.5,
        severity=None,
        priority=1.0,
        reasons=[],
        bundle="b",
        conversation_id=None,
        text=f"a quiet evening, number {number}" if text is None else text,
        opened_at=NOON,
        text_shortened=shortened,
    )
    decision = ReviewDecision(
        f"decision:{number}", case.id, case.message_id, task, "amara", finding, severity, None, NOON
    )
    return case, decision


def _made(pairs: Sequence[Pair], representative: float | None = None) -> dict[str, tuple[bool, str | None]]:
    cases, decisions = zip(*pairs, strict=True)
    made = examples_of_decisions(cases, decisions, STRESS, representative=representative)
    return {example.id or "": (example.at_risk, example.severity) for example in made.examples}


def test_a_decided_case_is_an_example_with_the_persons_severity() -> None:
    level = STRESS.level_names[-1]
    assert _made([_decided(0, "at_risk", severity=level), _decided(1, "not_at_risk")]) == {
        "m-0": (True, level),
        "m-1": (False, None),
    }


def test_a_level_that_the_task_does_not_have_is_left_out_and_the_finding_stays() -> None:
    assert _made([_decided(0, "at_risk", severity="purple")]) == {"m-0": (True, None)}


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (_decided(1, "unsure"), "unsure"),
        (_decided(1, "at_risk", text=" "), "cases without a text"),
        (_decided(1, "at_risk", shortened=True), "cases whose text was shortened"),
        (_decided(1, "at_risk", kind="unread"), "cases of kind unread"),
        (_decided(1, "at_risk", kind="golden"), "cases of kind golden"),
    ],
)
def test_what_is_no_example_is_counted_under_its_reason(pair: Pair, why: str) -> None:
    kept = _decided(0, "at_risk")
    made = examples_of_decisions([kept[0], pair[0]], [kept[1], pair[1]], STRESS)
    assert [example.id for example in made.examples] == ["m-0"]
    assert made.left_out == {why: 1}


def test_decisions_of_another_task_or_on_a_case_that_is_gone_are_counted() -> None:
    case, decision = _decided(0, "at_risk")
    made = examples_of_decisions(
        [case], [decision, _decided(1, "at_risk")[1], _decided(2, "at_risk", task="other")[1]], STRESS
    )
    assert made.left_out == {"decisions whose case is gone": 1, "decisions of another task": 1}
    assert made.said[0].startswith("1 decision has no case, and so no text any more: the review desk has it ")
    assert "MIMAMORI_REVIEW_RETENTION_AFTER_DECISION_HOURS" in made.said[0]


def test_a_day_later_nothing_is_left_and_the_command_says_why_and_what_to_do() -> None:
    decided = [_decided(number, "at_risk") for number in range(3)]
    decisions = [decision for _, decision in decided]
    with pytest.raises(TaskError, match=r"\(3 decisions whose case is gone\)\. 3 decisions have no case, .*"):
        examples_of_decisions([], decisions, STRESS)
    assert without_case([case for case, _ in decided[:1]], [*decisions, *decisions], STRESS.name) == 2
    assert without_case([], decisions, "other") == 0


def test_the_last_decision_on_a_case_counts() -> None:
    case, first = _decided(0, "at_risk")
    made = examples_of_decisions([case], [first, _decided(0, "not_at_risk")[1]], STRESS)
    assert [example.at_risk for example in made.examples] == [False]


def test_the_same_words_decided_differently_teach_nothing() -> None:
    same = "I cannot sleep any more"
    pairs = [_decided(0, "at_risk", text=same), _decided(1, "not_at_risk", text=same.upper() + " ")]
    assert _made([*pairs, _decided(2, "at_risk")]) == {"m-2": (True, None)}
    levels = STRESS.level_names
    graded = [_decided(n, "at_risk", text=same, severity=levels[n]) for n in (0, 1)]
    assert _made(graded) == {"m-0": (True, None), "m-1": (True, None)}


def test_nothing_left_is_refused_with_every_reason() -> None:
    case, decision = _decided(0, "unsure")
    with pytest.raises(TaskError, match=r"no decided case of stress makes an example \(1 unsure\)"):
        examples_of_decisions([case], [decision], STRESS)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_without_quality_samples_no_fair_sample_is_made(share: float) -> None:
    case, decision = _decided(0, "at_risk")
    with pytest.raises(TaskError, match="the share of quality samples is"):
        examples_of_decisions([case], [decision], STRESS, representative=share)


def test_a_fair_sample_has_the_traffics_share_of_missed_people() -> None:
    """Of 20,000 messages 10 % are at risk, and the last bundle cleared a fifth of those."""
    draw, share = Random(7), 0.2  # noqa: S311 - no secret
    pairs, missed = [], set()
    for number in range(20_000):
        ill = draw.random() < 0.1
        cleared = draw.random() < (0.2 if ill else 0.8)
        if cleared and draw.random() >= share:
            continue  # nobody looked at it
        finding: Finding = "at_risk" if ill else "not_at_risk"
        pairs.append(_decided(number, finding, kind="quality_sample" if cleared else "escalation"))
        if ill and cleared:
            missed.add(f"m-{number}")

    def share_missed(representative: float | None) -> tuple[float, int]:
        ill = [name for name, (at_risk, _) in _made(pairs, representative).items() if at_risk]
        return sum(name in missed for name in ill) / len(ill), len(ill)

    fair, count = share_missed(share)
    assert abs(fair - 0.2) < 4 * sqrt(0.2 * 0.8 / count)
    assert share_missed(None)[0] < 0.1  # all of them together flatter the last bundle


def test_a_fair_sample_is_the_same_in_each_run() -> None:
    pairs = [_decided(number, "at_risk") for number in range(200)]
    first = _made(pairs, 0.3)
    assert first == _made(list(reversed(pairs)), 0.3)
    assert 30 < len(first) < 90


def test_it_says_what_leans_to_the_urgent() -> None:
    cases, decisions = zip(*(_decided(number, "at_risk") for number in range(10)), strict=True)
    said = examples_of_decisions(cases, decisions[:5], STRESS).said
    assert said[0].startswith("5 of 10 cases of kind escalation are decided.")
    assert "no quality sample" in said[-1]
