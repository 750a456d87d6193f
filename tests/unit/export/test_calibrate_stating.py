"""Risks mean what they say at the stream's share, verdicts stay, and the share is estimated or refused."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.bundle.calibration import Share
from engine.errors import TaskError
from engine.odds import Odds, log_odds, restated, sigmoid
from export.calibrating.conclusion import Conclusion, conclude
from export.calibrating.decisions import share_of_decisions
from export.calibrating.goal import Goal
from export.calibrating.share import Decided, draw, fits, from_decisions, from_traffic, likeliest
from export.calibrating.stating import calibration_error, fit_odds, reliability, shifted, weights
from export.calibrating.workload import workload
from schemas.events import Origin, ReviewCase, ReviewDecision
from schemas.vocabulary import CaseKind, Finding

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

odds = st.builds(Odds, st.floats(0.2, 5.0), st.floats(-6.0, 6.0))
risks = st.lists(st.floats(0.001, 0.999), min_size=2, max_size=20, unique=True)
shares = st.floats(0.01, 0.99)
NOW = datetime(2026, 3, 14, tzinfo=UTC)


def _population(
    count: int, share: float, seed: int, apart: float = 1.5, others: float = 0.0
) -> tuple[Array, Ints]:
    """Decision values of messages of which a share is at risk; two normal distributions of width 1."""
    chance = np.random.default_rng(seed)
    labels = (np.arange(count) < round(share * count)).astype(np.int64)
    return np.where(labels == 1, apart, others) + chance.normal(size=count), labels


@given(odds, risks)
def test_restating_keeps_the_order_and_is_undone_by_the_inverse(
    given_odds: Odds, values: list[float]
) -> None:
    before = np.sort(np.array(values))
    after = restated(before, given_odds)
    assert (np.diff(after) >= 0).all()
    assert ((after >= 0) & (after <= 1)).all()
    if after.min() > 1e-9 and after.max() < 1 - 1e-9:  # else a float cannot hold the difference to 0 or 1
        np.testing.assert_allclose(restated(after, given_odds.inverse), before, rtol=1e-5)


def test_what_is_no_risk_or_certain_stays() -> None:
    after = restated(np.array([0.0, 1.0, np.nan]), Odds(2.0, -3.0))
    np.testing.assert_array_equal(after, [0.0, 1.0, np.nan])
    assert restated(after, None) is after


@given(shares, shares, odds)
def test_a_shift_to_a_share_and_back_changes_nothing(one: float, other: float, given_odds: Odds) -> None:
    back = shifted(shifted(given_odds, one, other), other, one)
    assert (back.slope, back.shift) == pytest.approx((given_odds.slope, given_odds.shift), abs=1e-9)


@given(shares, shares)
def test_a_shift_is_bayes_rule(share: float, risk: float) -> None:
    """Of messages that are as likely in either class, the share at risk is that of all messages."""
    (even,) = restated(np.array([0.5]), shifted(Odds(1.0, 0.0), 0.5, share))
    assert even == pytest.approx(share)
    (said,) = restated(np.array([risk]), shifted(Odds(1.0, 0.0), 0.5, share))
    assert said / (1 - said) == pytest.approx(risk / (1 - risk) * share / (1 - share))


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3, 0.5, 0.7, 0.95])
def test_risks_mean_what_they_say_at_any_share(share: float) -> None:
    """The heads exaggerate by a factor of 3, and half of the examples are at risk."""
    decisions, labels = _population(600, 0.5, seed=1)
    stream, truth = _population(20_000, share, seed=2)
    said = restated(sigmoid(3 * stream), shifted(fit_odds(3 * decisions, labels), 0.5, share))
    assert said.mean() == pytest.approx(share, abs=0.02)
    assert calibration_error(reliability(said, truth, share)) < 0.03
    assert calibration_error(reliability(sigmoid(3 * stream), truth, share)) > 0.06


def test_reliability_weighs_the_examples_as_the_stream_does() -> None:
    labels = np.array([1, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(weights(labels, 0.1), [0.05, 0.05, *[0.225] * 4])
    (low, high) = reliability(np.array([0.95, 0.05, 0.05, 0.05, 0.05, 0.95]), labels, 0.1)
    assert (low.examples, high.examples) == (4, 2)
    assert low.found == pytest.approx(0.05 / 0.725)
    assert high.found == pytest.approx(0.05 / 0.275)
    assert calibration_error([low, high]) == pytest.approx(
        0.725 * abs(0.05 - low.found) + 0.275 * abs(0.95 - high.found)
    )


def test_examples_that_are_ranked_the_wrong_way_are_refused() -> None:
    decisions, labels = _population(100, 0.5, seed=3)
    with pytest.raises(TaskError, match="no better than chance"):
        fit_odds(-decisions, labels)


def _concluded(share: float, never: Sequence[int] = ()) -> Conclusion:
    decisions, labels = _population(400, 0.5, seed=4)
    plain = sigmoid(decisions)
    hurdles = plain.copy()
    hurdles[list(never)] = np.inf
    return conclude(hurdles, lambda _: plain, labels, Goal(0.1, 0.1), lambda *_: Share(share, "stated"))


@settings(max_examples=10)
@given(shares, shares)
def test_no_verdict_changes_by_the_share(one: float, other: float) -> None:
    first, second = _concluded(one), _concluded(other)
    for told in (first, second):
        assert told.thresholds.lower < told.thresholds.upper
    np.testing.assert_array_equal(
        first.hurdles < first.thresholds.lower, second.hurdles < second.thresholds.lower
    )
    np.testing.assert_array_equal(
        first.risks >= first.thresholds.upper, second.risks >= second.thresholds.upper
    )


def test_a_conclusion_counts_the_mistakes_that_it_states() -> None:
    told = _concluded(0.05)
    said = told.statement
    assert (said.missed, said.positives) == (14, 200)  # P(Binomial(200, .1) <= 14) = .093, 15: .143
    assert (said.alarms, said.negatives) == (14, 200)
    assert said.with_confidence == told.thresholds
    assert said.in_expectation is not None
    assert said.in_expectation.lower > told.thresholds.lower
    assert said.stated == "miss<=0.1@0.9"


def test_what_is_never_cleared_is_no_miss() -> None:
    """The first 30 examples at risk are truncated: more of the others may then be below the threshold."""
    usual, told = _concluded(0.05), _concluded(0.05, never=range(30))
    assert told.thresholds.lower > usual.thresholds.lower
    assert told.statement.missed == usual.statement.missed


def test_a_bundle_that_clears_before_any_threshold_is_asked_is_refused() -> None:
    decisions, labels = _population(400, 0.5, seed=4)
    hurdles = sigmoid(decisions)
    hurdles[:60] = -np.inf  # as a cascade that stops at its first depth
    with pytest.raises(TaskError, match="cleared before any threshold"):
        conclude(hurdles, lambda _: sigmoid(decisions), labels, Goal(0.1), lambda *_: Share(0.1, "stated"))


def test_where_thresholds_cross_the_discount_stops_at_the_one_that_is_taken() -> None:
    """Classes far apart: the bound on misses is above that on alarms, and both move to the cautious side."""
    decisions, labels = _population(400, 0.5, seed=4, apart=9.0)
    asked: list[float] = []

    def discounted(lower: float) -> Array:
        asked.append(lower)
        return sigmoid(decisions)

    told = conclude(sigmoid(decisions), discounted, labels, Goal(0.1, 0.1), lambda *_: Share(0.01, "stated"))
    assert told.thresholds.lower < told.thresholds.upper
    assert asked[1] < asked[0]
    (back,) = restated(np.array([asked[1]]), told.odds)
    assert back == pytest.approx(told.thresholds.lower)
    assert told.statement.missed == 0


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_the_share_is_estimated_from_traffic_with_an_interval_that_holds_it(share: float) -> None:
    decisions, labels = _population(600, 0.5, seed=5)
    traffic, _ = _population(3000, share, seed=6)
    said = from_traffic(decisions, labels, sigmoid(traffic))
    assert said.low is not None
    assert said.high is not None
    assert said.low < said.prevalence < said.high
    assert said.low < share < said.high
    assert said.high - said.low < 0.15
    assert fits(decisions, labels, sigmoid(traffic), said.prevalence)


@pytest.mark.parametrize(("share", "end"), [(0.0, "none"), (1.0, "all")])
def test_a_share_that_does_not_converge_is_refused(share: float, end: str) -> None:
    decisions, labels = _population(600, 0.5, seed=5)
    traffic, _ = _population(500, share, seed=7)
    with pytest.raises(TaskError, match=f"does not converge away from {end}.*--prevalence"):
        from_traffic(decisions, labels, sigmoid(traffic))


def test_traffic_that_is_unlike_the_examples_is_noticed() -> None:
    decisions, labels = _population(600, 0.5, seed=5)
    traffic, _ = _population(2000, 0.2, seed=8, others=-2.0)
    assert not fits(decisions, labels, sigmoid(traffic), 0.2)


@given(st.floats(0.05, 0.95))
def test_the_likeliest_share_is_that_of_messages_whose_class_is_plain(share: float) -> None:
    count = round(1000 * share)
    ratios = np.repeat([1e6, 1e-6], [count, 1000 - count])
    assert likeliest(ratios) == pytest.approx(count / 1000, abs=1e-3)


def test_traffic_keeps_what_is_repeated_and_leaves_out_what_is_empty() -> None:
    drawn = draw(["ok"] * 300 + ["", " "] * 50)
    assert drawn == ["ok"] * 300
    assert len(draw((str(n) for n in range(5000)), 250)) == 250
    with pytest.raises(TaskError, match="200 messages or more, the traffic has 199"):
        draw(["ok"] * 199)


def test_the_share_of_peoples_decisions_weighs_quality_samples_by_how_rare_they_are() -> None:
    """300 escalations, half at risk; 70 samples of 1 % of the clear: 7,000 messages, a seventieth at risk."""
    said = from_decisions(Decided(300, 100, 50), Decided(70, 70, 1), 0.01)
    assert said.prevalence == pytest.approx((300 * 0.5 + 7000 / 70) / 7300)
    assert said.low is not None
    assert said.high is not None
    assert said.low < said.prevalence < said.high
    assert said.seen == 170


@pytest.mark.parametrize(
    ("escalated", "samples", "sampled", "said"),
    [
        (Decided(10, 10, 5), Decided(5, 0, 0), 0.01, "decided no quality samples"),
        (Decided(10, 10, 5), Decided(0, 0, 0), 0.01, "decided no quality samples"),
        (Decided(10, 0, 0), Decided(5, 5, 0), 0.01, "decided no escalations"),
        (Decided(10, 10, 0), Decided(5, 5, 0), 0.01, "none of 15 decisions found somebody"),
        (Decided(10, 10, 5), Decided(5, 5, 0), 0.0, "no quality samples are drawn"),
    ],
)
def test_too_few_decisions_are_refused(
    escalated: Decided, samples: Decided, sampled: float, said: str
) -> None:
    with pytest.raises(TaskError, match=said):
        from_decisions(escalated, samples, sampled)


def _case(number: int, kind: CaseKind, task: str = "stress") -> ReviewCase:
    return ReviewCase(
        id=f"case:{number}",
        label_id=None,
        message_id=f"m-{number}",
        origin=Origin("m", 0, number),
        task=task,
        kind=kind,
        verdict=None,
        risk=None,
        severity=None,
        priority=0.0,
        reasons=[],
        bundle=None,
        conversation_id=None,
        text=None,
        opened_at=NOW,
    )


def _decision(number: int, finding: Finding) -> ReviewDecision:
    return ReviewDecision(
        id=f"decision:{number}:{finding}",
        case_id=f"case:{number}",
        message_id=f"m-{number}",
        task="stress",
        reviewer="r",
        finding=finding,
        severity=None,
        note=None,
        decided_at=NOW,
    )


def test_decisions_count_once_for_each_case_of_the_task_that_a_model_read() -> None:
    cases = [
        _case(1, "escalation"),
        _case(2, "escalation"),
        _case(3, "quality_sample"),
        _case(4, "quality_sample"),
        _case(5, "unread"),
        _case(6, "escalation", task="scams"),
    ]
    decisions = [
        _decision(1, "not_at_risk"),
        _decision(1, "at_risk"),  # somebody looked again
        _decision(2, "unsure"),
        _decision(3, "not_at_risk"),
        *(_decision(number, "at_risk") for number in (5, 6, 7)),
    ]
    said = share_of_decisions(cases, decisions, "stress", 0.5)
    assert said.prevalence == pytest.approx(2 / (2 + 2 / 0.5))
    assert (said.seen, said.source) == (2, "quality samples")


def test_the_workload_is_that_of_the_stream() -> None:
    labels = np.array([1] * 10 + [0] * 10)
    hurdles = np.array([0.1] * 1 + [0.9] * 9 + [0.1] * 8 + [np.inf] + [0.9])
    plain = np.where(np.isinf(hurdles), 0.1, hurdles)
    load = workload(hurdles, plain, labels, 0.5, 0.8, 0.1, 0.01)
    assert load.clear == pytest.approx(1000 * (0.1 * 0.1 + 0.9 * 0.8))
    assert load.missed == pytest.approx(1000 * 0.1 * 0.1)
    assert load.at_risk == pytest.approx(1000 * (0.1 * 0.9 + 0.9 * 0.1))
    assert load.uncertain == pytest.approx(1000 * 0.9 * 0.1)  # the truncated one
    assert load.reviewed == pytest.approx(1000 - load.clear + 0.01 * load.clear)
    assert load.found_of_reviewed == pytest.approx(0.09 / 0.27)
    assert load.found_of_at_risk == pytest.approx(0.5)
    assert load.harmless_of_clear == pytest.approx(0.72 / 0.73)
    assert workload(hurdles, plain, labels, 0.0, 2.0, 0.1, 0.01).found_of_at_risk is None


def test_log_odds_of_certainties_are_infinite() -> None:
    np.testing.assert_array_equal(log_odds(np.array([0.0, 0.5, 1.0])), [-np.inf, 0.0, np.inf])
