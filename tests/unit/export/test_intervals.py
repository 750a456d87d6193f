import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from export.evaluating.figures import area, flagging
from export.evaluating.intervals import Weights, bootstrap, share

COUNTS = st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(COUNTS)
def test_an_exact_interval_holds_the_share_and_stays_within_0_and_1(counts: tuple[int, int]) -> None:
    hits, of = counts
    found = share(hits, of)
    assert 0.0 <= found.low <= hits / of <= found.high <= 1.0


def test_an_exact_interval_leaves_out_the_shares_that_would_hardly_give_such_counts() -> None:
    found = share(7, 40)
    assert binom.sf(6, 40, found.low) == pytest.approx(0.025)
    assert binom.cdf(7, 40, found.high) == pytest.approx(0.025)
    assert share(0, 10).high == pytest.approx(0.3085, abs=1e-4)  # 1 - 0.025 ** (1 / 10)
    assert share(0, 0) == share(0, 0, confidence=0.5)


@pytest.mark.parametrize("true", [0.02, 0.3])
def test_an_exact_interval_covers_the_true_share_as_often_as_it_says(true: float) -> None:
    held = [
        binom.pmf(hits, 50, true) for hits in range(51) if share(hits, 50).low <= true <= share(hits, 50).high
    ]
    assert sum(held) >= 0.95


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.5, 0.5, 0.9])), min_size=2, max_size=40
    ).filter(lambda rows: len({label for label, _ in rows}) == 2)
)
@settings(max_examples=20)
def test_figures_are_those_of_scikit_learn_and_lie_within_their_intervals(
    rows: list[tuple[bool, float]],
) -> None:
    labels = np.array([label for label, _ in rows], np.int64)
    risks = np.array([risk for _, risk in rows])
    flagged = risks >= 0.5
    found = flagging(labels, flagged)
    assert found.f1 == pytest.approx(f1_score(labels, flagged, zero_division=0.0))
    assert found.precision == pytest.approx(precision_score(labels, flagged, zero_division=0.0))
    assert found.recall == pytest.approx(recall_score(labels, flagged))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, flagged))
    measured = area(labels, risks)
    assert measured is not None
    assert measured[0] == pytest.approx(roc_auc_score(labels, risks))
    assert measured[1].low <= measured[0] <= measured[1].high
    for name in ("precision", "recall", "f1", "balanced_accuracy"):
        interval = getattr(found, f"{name}_interval")
        assert interval.low <= getattr(found, name) <= interval.high


def test_the_bootstrap_of_a_constant_is_that_constant_and_a_seed_repeats_it() -> None:
    labels = np.array([0, 1] * 10)
    (constant,) = bootstrap(labels, lambda weights: np.full(len(weights), 0.7))
    assert (constant.low, constant.high) == (0.7, 0.7)
    values = np.arange(20.0)
    mean = lambda weights: weights @ values / 20  # noqa: E731
    assert (
        bootstrap(labels, mean, seed=3) == bootstrap(labels, mean, seed=3) != bootstrap(labels, mean, seed=4)
    )


def test_the_bootstrap_keeps_the_size_of_each_class_and_is_as_wide_as_theory_says() -> None:
    labels = np.array([1] * 100 + [0] * 300)
    sizes: set[tuple[int, int]] = set()

    def mean_of_positives(weights: Weights) -> NDArray[np.float64]:
        sizes.update(zip(weights[:, :100].sum(axis=1), weights[:, 100:].sum(axis=1), strict=True))
        return np.asarray(weights[:, :100] @ np.arange(100.0) / 100, np.float64)

    (found,) = bootstrap(labels, mean_of_positives)
    assert sizes == {(100, 300)}
    deviation = np.arange(100.0).std() / 10
    assert found.high - found.low == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_one_class_alone_has_neither_area_nor_balanced_accuracy() -> None:
    labels = np.ones(5, np.int64)
    assert area(labels, np.arange(5.0)) is None
    assert flagging(labels, labels == 1).balanced_accuracy is None
