import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.adapting.thresholds import allowed, conformal_bounds, needed

SCORES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=120)
RATES = st.floats(0.02, 0.5)


@given(SCORES, RATES)
def test_mistakes_stay_within_the_rate(scored: list[tuple[float, bool]], rate: float) -> None:
    risks, labels = np.array([s for s, _ in scored]), np.array([int(at_risk) for _, at_risk in scored])
    bounds = conformal_bounds(risks, labels, rate)
    assert 0.0 <= bounds.lower <= bounds.upper <= 1.0
    positives, negatives = risks[labels == 1], risks[labels == 0]
    misses = int((positives < bounds.lower).sum())
    assert misses == 0 or (misses + 1) / (len(positives) + 1) <= rate + 1e-9
    alarms = int((negatives >= bounds.upper).sum())
    certain = int((negatives == 1.0).sum())  # nothing lies above 1, so such a score is always at_risk
    assert alarms <= certain or (alarms + 1) / (len(negatives) + 1) <= rate + 1e-9


@given(st.integers(0, 500), RATES)
def test_needed_is_where_allowed_begins(examples: int, rate: float) -> None:
    assert (allowed(examples, rate) >= 0) == (examples >= needed(rate))


def test_the_lower_threshold_is_the_largest_that_keeps_the_bound() -> None:
    risks = np.linspace(0.1, 0.9, 19)  # one miss in 19 is (1 + 1) / (19 + 1) = 0.1
    bounds = conformal_bounds(np.append(risks, 0.0), np.array([1] * 19 + [0]), 0.1)
    assert bounds.lower == pytest.approx(risks[1])


@pytest.mark.parametrize("positives", [5, 8])
def test_with_too_few_of_a_class_nothing_is_promised(positives: int) -> None:
    risks = np.array([0.9] * positives + [0.1] * 30)
    labels = np.array([1] * positives + [0] * 30)
    assert conformal_bounds(risks, labels, 0.1).lower <= 0.1  # none of those at risk below it
    swapped = conformal_bounds(1 - risks, 1 - labels, 0.1)
    assert swapped.upper >= 0.9


def test_classes_that_lie_apart_leave_the_gap_to_people() -> None:
    risks, labels = np.array([0.1] * 20 + [0.9] * 20), np.array([0] * 20 + [1] * 20)
    bounds = conformal_bounds(risks, labels, 0.1)
    assert bounds.lower == pytest.approx(0.1)
    assert bounds.lower > 0.1
    assert bounds.upper == 0.9
