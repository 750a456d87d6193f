"""The parts of a report, each on examples whose answer is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from engine.scores import UNGRADABLE, Scores
from export.evaluating.figures import answered
from export.evaluating.reliability import reliability
from export.evaluating.severity import severity_report
from export.evaluating.slices import by_length, slices
from export.evaluating.workload import cost, curve, workload
from export.evaluating.worst import visible, worst
from export.examples import LabelledExample
from tests.fakes.tiny_bundle import TASK

LEVELS = TASK.level_names


def _score(level: int | None, risk: float = 0.9) -> Scores:
    severity = None if level is None else tuple(1.0 if place == level else 0.0 for place in range(3))
    return Scores(risk, severity, 1, truncated=False)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=30))
@settings(max_examples=25)
def test_severity_is_what_scikit_learn_and_counting_say(pairs: list[tuple[int, int]]) -> None:
    examples = [LabelledExample("x", at_risk=True, severity=LEVELS[true]) for true, _ in pairs]
    found = severity_report(
        TASK, examples, [_score(guess) for _, guess in pairs], np.arange(len(pairs)) % 2 == 0
    )
    assert found is not None
    true, guessed = map(np.array, zip(*pairs, strict=True))
    assert found.mean_error == pytest.approx(np.abs(true - guessed).mean())
    if len({*true, *guessed}) > 1:
        expected = cohen_kappa_score(true, guessed, labels=[0, 1, 2], weights="quadratic")
        assert found.kappa == pytest.approx(expected)
        assert found.kappa_interval is not None
        assert found.kappa_interval.low <= found.kappa <= found.kappa_interval.high
    high = found.levels[2]
    assert high.examples == (true == 2).sum()
    assert high.missed == ((true == 2) & (np.arange(len(pairs)) % 2 == 0)).sum()
    if high.examples:
        assert high.found == pytest.approx((guessed[true == 2] == 2).mean())


def test_a_severity_that_could_not_be_read_is_counted_apart() -> None:
    examples = [LabelledExample("x", at_risk=True, severity="high")] * 3
    scores = [_score(2), Scores(0.9, UNGRADABLE, 1, truncated=False), _score(None)]
    found = severity_report(TASK, examples, scores, np.zeros(3, bool))
    assert found is not None
    assert (found.examples, found.ungraded) == (1, 2)
    assert severity_report(TASK, examples[:1], [_score(None)], np.zeros(1, bool)) is None


def test_a_slice_that_is_missed_more_often_is_named_and_a_small_one_is_not_judged() -> None:
    labels = np.ones(140, np.int64)
    values = ["phone"] * 60 + ["web"] * 60 + ["fax"] * 19 + [None]
    cleared = np.zeros(140, bool)
    cleared[:20] = True  # a third of the phone's
    cleared[120:139] = True  # all of the fax's: still too few
    found = {each.value: each for each in slices({"from": values}, labels, cleared)}
    assert found["phone"].missed == 20
    assert found["web"].conclusion == "found more often"
    assert found["fax"].conclusion == "too few to conclude"
    assert found["fax"].recall == 0.0
    assert found["not stated"].positives == 1
    assert found["phone"].recall_interval.low < 40 / 60 < found["phone"].recall_interval.high


def test_chance_alone_seldom_names_a_slice() -> None:
    chance = np.random.default_rng(5)
    named = 0
    for _ in range(60):
        cleared = chance.random(200) < 0.1
        columns = {
            "a": chance.choice(list("xyz"), 200).tolist(),
            "b": chance.choice(list("uv"), 200).tolist(),
        }
        found = slices(columns, np.ones(200, np.int64), cleared)
        named += any(each.conclusion.startswith("found") for each in found)
    assert named <= 6  # one in twenty, and then some: seeded, so that it always passes or never


def test_lengths_stand_in_order_and_rare_values_together() -> None:
    texts = ["x" * length for length in (50, 51, 150, 151, 500, 501)]
    assert by_length(texts) == [
        "up to 50 characters",
        "51 to 150",
        "51 to 150",
        "151 to 500",
        "151 to 500",
        "more than 500",
    ]
    found = slices({"length": by_length(texts)}, np.ones(6, np.int64), np.zeros(6, bool))
    assert [each.value for each in found] == sorted(set(by_length(texts)), key=by_length(texts).index)
    many = slices({"id": [f"{n}" for n in range(40)]}, np.ones(40, np.int64), np.zeros(40, bool))
    assert len(many) == 13
    assert many[-1].value == "28 rarer values"
    assert sum(each.examples for each in many) == 40


def test_values_with_nobody_at_risk_are_one_slice() -> None:
    labels = np.array([1, 0, 0, 0])
    found = slices({"topic": ["a", "b", "c", "c"]}, labels, np.array([False, True, True, False]))
    assert [each.value for each in found] == ["a", "2 values with nobody at risk"]
    assert (found[1].examples, found[1].alarms) == (3, 1)


def test_workload_weighs_the_classes_by_the_stated_prevalence() -> None:
    labels = np.array([1] * 10 + [0] * 30)
    cleared = np.array([True] * 2 + [False] * 8 + [True] * 24 + [False] * 6)  # 20 % missed, 20 % alarms
    own = workload(labels, cleared, None, 0.0)
    stated = workload(labels, cleared, 0.01, 0.1)
    assert own is not None
    assert stated is not None
    assert own.prevalence == 0.25
    assert own.seen == pytest.approx((8 + 6) / 40)
    assert own.right == pytest.approx(8 / 14)
    escalated = 0.01 * 0.8 + 0.99 * 0.2
    assert stated.seen == pytest.approx(escalated + 0.1 * (1 - escalated))
    assert stated.right == pytest.approx(0.01 * 0.8 / escalated)
    assert stated.missed_per_million == pytest.approx(2000)
    assert stated.seen_interval.low < stated.seen < stated.seen_interval.high
    assert workload(labels[:10], cleared[:10], None, 0.0) is None


def test_the_cost_of_a_million() -> None:
    assert cost(100.0, None).per_million is None
    assert cost(100.0, 0.36).per_million == pytest.approx(1.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.booleans()), min_size=2, max_size=60))
@settings(max_examples=40)
def test_a_higher_threshold_misses_more_and_shows_less(rows: list[tuple[bool, float, bool]]) -> None:
    labels = np.array([at_risk for at_risk, _, _ in rows], np.int64)
    risks = np.array([risk for _, risk, _ in rows])
    doubted = np.array([doubt for _, _, doubt in rows])
    found = curve(labels, risks, doubted, None, 0.0)
    if len({*labels.tolist()}) < 2:
        assert found == ()
        return
    assert [point.missed for point in found] == sorted(point.missed for point in found)
    assert [point.seen for point in found] == sorted((point.seen for point in found), reverse=True)
    assert found[0].missed == 0.0
    assert found[-1].missed == pytest.approx(
        1 - (labels * doubted).sum() / labels.sum()
    )  # doubts are never clear


def test_calibrated_risks_have_the_error_of_chance_and_others_a_larger_one() -> None:
    chance = np.random.default_rng(0)
    risks = chance.random(4000)
    labels = (chance.random(4000) < risks).astype(np.int64)
    good = reliability(labels, risks)
    bad = reliability(labels, risks**3)
    assert good.error < 2 * good.by_chance < 0.05 < bad.error
    assert sum(each.examples for each in good.bins) == 4000
    assert reliability(np.array([1]), np.array([1.0])).bins[9].examples == 1


def test_risks_that_are_stated_for_a_stream_are_right_there_and_not_in_a_balanced_file() -> None:
    chance = np.random.default_rng(1)
    risks = chance.beta(0.3, 2.7, 60_000)  # of a stream of which a tenth is at risk
    labels = (chance.random(60_000) < risks).astype(np.int64)
    file = np.concatenate([np.flatnonzero(labels == 1)[:3000], np.flatnonzero(labels == 0)[:3000]])
    there = reliability(labels[file], risks[file], prevalence=0.1)
    here = reliability(labels[file], risks[file])
    assert there.prevalence == 0.1
    assert there.error < 2 * there.by_chance < 0.05 < here.error
    for each in there.bins:
        assert each.mean_risk is not None
        assert each.at_risk is not None
        assert each.at_risk_interval.low <= each.at_risk <= each.at_risk_interval.high
        assert each.at_risk_interval.low - 0.05 < each.mean_risk < each.at_risk_interval.high + 0.05
    same = reliability(labels[file], risks[file], prevalence=0.5)
    assert same.error == pytest.approx(here.error)
    assert reliability(np.ones(3, np.int64), np.full(3, 0.9), prevalence=0.1).prevalence == 1.0


def test_a_risk_that_is_not_a_number_is_never_low() -> None:
    assert answered(np.array([0.2, math.nan, math.inf])).tolist() == [0.2, 1.0, 1.0]


def test_the_worst_errors_are_the_gravest_and_their_texts_stay_out() -> None:
    severities = ["low", "high", None, None]
    examples = [LabelledExample(f"words {n}\u202e", at_risk=n < 3, severity=severities[n]) for n in range(4)]
    labels = np.array([1, 1, 1, 0])
    cleared, alarmed = np.array([True, True, True, False]), np.array([False] * 3 + [True])
    risks = np.array([0.01, 0.2, 0.1, 0.99])
    scores = [_score(0, risk) for risk in risks]
    rows = [f"row {n}" for n in range(1, 5)]
    given_ = (examples, rows, scores, labels, risks, cleared, alarmed, LEVELS)
    masked = worst(*given_, show_text=False)
    assert [(each.kind, each.row) for each in masked] == [
        ("missed", "row 2"),
        ("missed", "row 1"),
        ("missed", "row 3"),
        ("alarm", "row 4"),
    ]
    assert all(each.text is None for each in masked)
    assert worst(*given_, show_text=True)[0].text == "words 1⟨U+202E⟩"


def test_what_cannot_be_seen_is_written_out() -> None:
    assert visible("a\u200bb\x00c\nd 明日 👍") == "a⟨U+200B⟩b⟨U+0000⟩c\nd 明日 👍"
