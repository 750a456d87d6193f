"""The bounds keep what they promise: proven by arithmetic, and seen in draws from known distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from engine.bundle.calibration import BoundName
from engine.errors import SettingsError, TaskError
from export.adapting.thresholds import allowed, allowed_with, bounds, needed, needed_with
from export.calibrating.goal import Goal, allows, require_enough, require_possible

rates = st.floats(0.005, 0.6)
confidences = st.floats(0.5, 0.999)
counts = st.integers(1, 600)
DRAWS = 5_000


@given(confidences, counts, rates)
def test_the_exact_bound_allows_the_most_mistakes_that_it_can(
    confidence: float, examples: int, rate: float
) -> None:
    most = allowed_with(confidence, examples, rate)
    chance = 1 - confidence
    assert -1 <= most < examples
    assert most == -1 or binom.cdf(most, examples, rate) <= chance + 1e-8
    assert binom.cdf(most + 1, examples, rate) > chance - 1e-8


@given(confidences, rates)
def test_so_many_examples_are_needed_and_not_one_less(confidence: float, rate: float) -> None:
    enough = needed_with(confidence, rate)
    assert allowed_with(confidence, enough, rate) >= 0
    assert enough == 1 or allowed_with(confidence, enough - 1, rate) == -1


@given(confidences, confidences, counts, counts, rates, rates)
def test_more_is_allowed_for_a_higher_rate_more_examples_and_less_confidence(
    one: float, other: float, few: int, many: int, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    few, many = sorted((few, many))
    less, more = sorted((one, other))
    assert allowed_with(more, few, low) <= allowed_with(more, few, high)
    assert allowed_with(more, few, low) <= allowed_with(more, many, low)
    assert allowed_with(more, few, low) <= allowed_with(less, few, low)
    assert allowed(few, low) <= allowed(few, high)


@given(counts, rates)
def test_conformal_risk_control_keeps_its_inequality_and_wastes_nothing(examples: int, rate: float) -> None:
    most = allowed(examples, rate)
    assert most == -1 or (most + 1) / (examples + 1) <= rate + 1e-9
    assert (most + 2) / (examples + 1) > rate
    assert allowed(needed(rate), rate) >= 0


def _true_rates(examples: int, most: int, values: int | None) -> NDArray[np.float64]:
    """The true miss rate of each of many draws. Risks are uniform, or one of so many equal steps."""
    chance = np.random.default_rng(examples)
    risks = chance.random((DRAWS, examples))
    if values is not None:
        risks = np.floor(risks * values) / values
    nobody = np.array([2.0])
    # Of uniform risks, the share below a threshold is the threshold itself; of steps as well.
    return np.array([bounds(each, nobody, most, 0).lower for each in risks])


@pytest.mark.parametrize(
    ("examples", "rate", "confidence", "values"),
    [
        (45, 0.05, 0.9, None),
        (100, 0.05, 0.9, None),
        (200, 0.1, 0.9, None),
        (60, 0.1, 0.7, None),
        (200, 0.1, 0.9, 50),
    ],
)
def test_with_confidence_few_draws_exceed_the_rate(
    examples: int, rate: float, confidence: float, values: int | None
) -> None:
    most = allowed_with(confidence, examples, rate)
    exceeds = float((_true_rates(examples, most, values) > rate).mean())
    noise = 3 * np.sqrt(confidence * (1 - confidence) / DRAWS)
    assert exceeds <= 1 - confidence + noise
    if values is None:  # and the bound is exact: it is not bought by clearing nothing
        assert exceeds == pytest.approx(binom.cdf(most, examples, rate), abs=noise)


@pytest.mark.parametrize(("examples", "rate"), [(19, 0.05), (100, 0.05), (50, 0.1)])
def test_in_expectation_the_mean_keeps_the_rate_and_single_draws_do_not(examples: int, rate: float) -> None:
    missed = _true_rates(examples, allowed(examples, rate), None)
    assert missed.mean() <= rate + 3 * missed.std() / np.sqrt(DRAWS)
    assert missed.mean() == pytest.approx(np.floor(rate * (examples + 1) + 1e-9) / (examples + 1), abs=0.002)
    assert (missed > rate).mean() > 0.3


def _labels(positives: int, negatives: int) -> NDArray[np.int64]:
    return np.repeat([1, 0], [positives, negatives])


@pytest.mark.parametrize(
    ("positives", "negatives", "bound", "said"),
    [
        (44, 45, "confidence", "a miss rate of 0.05 takes 45 examples at risk, there are 44"),
        (45, 44, "confidence", "false alarms of 0.05 takes 45 examples not at risk, there are 44"),
        (18, 100, "expectation", "a miss rate of 0.05 takes 19 examples at risk, there are 18"),
        (0, 500, "confidence", "takes 45 examples at risk, there are 0"),
        (500, 0, "confidence", "takes 45 examples not at risk, there are 0"),
    ],
)
def test_too_few_examples_are_refused_with_how_many_it_takes(
    positives: int, negatives: int, bound: BoundName, said: str
) -> None:
    goal = Goal(0.05, 0.05, 0.9, bound)
    with pytest.raises(TaskError, match=said):
        require_enough(goal, _labels(positives, negatives))


def test_as_many_as_it_takes_are_enough() -> None:
    require_enough(Goal(0.05, 0.05, 0.9), _labels(45, 45))
    require_enough(Goal(0.05, 0.05, 0.9, "expectation"), _labels(19, 19))
    assert allows(Goal(0.05, 0.05, 0.9), "confidence", _labels(45, 45)) == (0, 0)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_rates_that_are_none_are_refused(rate: float) -> None:
    goals = {
        "--max-miss-rate": Goal(rate),
        "--max-alarm-rate": Goal(0.05, rate),
        "--confidence": Goal(0.05, 0.05, rate),
    }
    for option, goal in goals.items():
        with pytest.raises(SettingsError, match=f"{option} .*above 0 and below 1"):
            require_possible(goal)
