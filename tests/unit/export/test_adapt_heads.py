from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from engine.odds import sigmoid
from export.adapting.heads import Ints, Vectors, choose, fit_platt, from_labels, out_of_fold, standard

LAYERS, HIDDEN, COUNT = 10, 12, 40
LABELS = np.arange(COUNT) % 2


def _vectors(informative: dict[int, float], *, seed: int = 0) -> Vectors:
    """Noise in every layer; in the `informative` ones (1-based) a direction that tells the classes apart."""
    random = np.random.default_rng(seed)
    windows = random.normal(size=(COUNT, LAYERS, HIDDEN)).astype(np.float32)
    for layer, strength in informative.items():
        windows[:, layer - 1, 0] += strength * (2 * LABELS - 1)
    return Vectors(windows, np.arange(COUNT))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in `adapt`: on matrices as small as these, several threads only wait for one another."""
    with threadpool_limits(1, "blas"):
        yield


def _drawn(count: int, informative: dict[int, float], seed: int) -> tuple[Vectors, Ints]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    windows = random.normal(size=(count, LAYERS, HIDDEN))
    for layer, signal in informative.items():
        windows[:, layer - 1, 0] += signal * (2 * labels - 1)
    return Vectors(windows.astype(np.float32), np.arange(count)), labels


def _choose(vectors: Vectors) -> int:
    return choose(vectors, LABELS, lambda *_: None).layer


def test_a_layer_that_clearly_tells_more_is_taken() -> None:
    assert _choose(_vectors({2: 4.0})) == 2


def test_the_middle_is_taken_where_layers_are_alike() -> None:
    one = _vectors({1: 2.0})
    alike = Vectors(np.repeat(one.windows[:, :1], LAYERS, axis=1), one.starts)
    assert _choose(alike) == 5


def test_what_a_few_examples_say_of_a_distant_layer_is_believed_when_many_say_it() -> None:
    """Layers 1 to 3 tell somewhat more than the middle, at every number of examples."""
    near, far = 1.0, 1.5
    strengths = {1: far, 2: far, 3: far, 4: near, 5: near, 6: near}
    taken = [
        [choose(*_drawn(count, strengths, seed), lambda *_: None).layer for seed in range(3)]
        for count in (10, 100)
    ]
    assert np.mean(taken[0]) > np.mean(taken[1])
    assert max(taken[1]) <= 3


def test_one_layer_that_stands_out_among_twenty_by_luck_is_not_taken() -> None:
    """All of them are noise, so that any layer far from the middle is a lucky one."""
    taken = []
    for seed in range(5):
        random = np.random.default_rng(seed)
        windows = random.normal(size=(10, 20, HIDDEN)).astype(np.float32)
        found = choose(Vectors(windows, np.arange(10)), np.arange(10) % 2, lambda *_: None)
        taken.append(abs(found.layer - 11))
    assert np.median(taken) <= 2


def test_a_layer_whose_neighbours_know_nothing_is_not_believed_over_several_that_agree() -> None:
    """Layer 4 alone tells the classes apart best, layers 9 to 13 tell them nearly as well."""
    random = np.random.default_rng(0)
    windows = random.normal(size=(COUNT, 20, HIDDEN))
    for layer, signal in {4: 3.0, **dict.fromkeys(range(9, 14), 1.3)}.items():
        windows[:, layer - 1, 0] += signal * (2 * LABELS - 1)
    chosen = choose(Vectors(windows.astype(np.float32), np.arange(COUNT)), LABELS, lambda *_: None)
    assert int(np.argmin(chosen.losses)) + 1 == 4
    assert chosen.layer in range(9, 14)


def test_the_choice_is_repeatable() -> None:
    first, second = (choose(_vectors({3: 1.0}), LABELS, lambda *_: None) for _ in range(2))
    assert first.layer == second.layer
    assert np.array_equal(first.decisions, second.decisions)


def test_noise_gets_no_confident_scores() -> None:
    chosen = choose(_vectors({}), LABELS, lambda *_: None)
    platt = fit_platt(chosen.decisions, LABELS)
    assert platt.slope >= 0
    risks = sigmoid(platt.slope * chosen.decisions + platt.shift)
    assert risks.min() > 0.1
    assert risks.max() < 0.9


def test_windows_of_one_example_stay_together() -> None:
    windows = np.arange(12, dtype=np.float32).reshape(6, 1, 2)
    vectors = Vectors(windows, np.array([0, 1, 4]))
    assert vectors.means(vectors.layer(1)).tolist() == [[0, 1], [4, 5], [9, 10]]
    assert vectors.highest(np.array([5.0, 1, 7, 2, 0, 9])).tolist() == [5, 7, 9]


def test_a_text_of_an_example_is_judged_by_heads_that_have_not_seen_the_example() -> None:
    """The second reading of a disguised one is: were it judged by others, it would get another value."""
    vectors = _vectors({1: 1.0})
    again = np.array([3, 17])
    more = Vectors(np.concatenate([vectors.windows, vectors.windows[again]]), np.arange(COUNT + len(again)))
    learn = from_labels(LABELS)
    alone = out_of_fold(vectors, 1, LABELS, learn)
    both = out_of_fold(more, 1, LABELS, learn, np.concatenate([np.arange(COUNT), again]))
    assert np.allclose(both, np.concatenate([alone, alone[again]]))


def test_separable_examples_give_no_certainty() -> None:
    platt = fit_platt(np.where(LABELS == 1, 1.0, -1.0), LABELS)
    assert sigmoid(np.array([platt.slope + platt.shift]))[0] < (COUNT / 2 + 1.1) / (COUNT / 2 + 2)


def test_heads_that_rank_backwards_are_flattened_not_reversed() -> None:
    platt = fit_platt(np.where(LABELS == 1, -1.0, 1.0), LABELS)
    assert platt.slope == 0.0
    assert sigmoid(np.array([platt.shift]))[0] == pytest.approx(0.5)


@given(
    seed=st.integers(0, 2**16),
    half=st.integers(4, 15),
    offset=st.floats(-2, 2),
    apart=st.floats(1, 4),
)
def test_belief_in_a_heads_own_zero_draws_the_shift_there_and_never_past_it(
    seed: int, half: int, offset: float, apart: float
) -> None:
    labels = np.arange(2 * half) % 2
    decisions = np.random.default_rng(seed).normal(size=len(labels)) + apart * labels - apart / 2 + offset
    plain, drawn, more = (fit_platt(decisions, labels, even=even) for even in (0.0, 4.0, 16.0))
    assume(min(plain.slope, drawn.slope, more.slope) > 0)
    assert 1e-3 + abs(plain.shift) >= abs(drawn.shift)
    assert 1e-3 + abs(drawn.shift) >= abs(more.shift)
    assert plain.shift * drawn.shift > -1e-3


@given(seed=st.integers(0, 2**16), half=st.integers(5, 15), offset=st.floats(-2, 2))
def test_neither_class_is_favoured(seed: int, half: int, offset: float) -> None:
    """Who swaps the classes and the decisions' sign gets the same risks, seen from the other side."""
    labels = np.arange(2 * half) % 2
    decisions = np.random.default_rng(seed).normal(size=len(labels)) + 2 * labels - 1 + offset
    one, other = fit_platt(decisions, labels), fit_platt(-decisions, 1 - labels)
    assert other.slope == pytest.approx(one.slope, abs=1e-3)
    assert other.shift == pytest.approx(-one.shift, abs=1e-3)


def test_the_more_examples_the_less_the_belief_counts() -> None:
    """The same examples once, ten and a hundred times: how far the shift is drawn from where they put it."""
    labels = np.arange(10) % 2
    decisions = np.random.default_rng(3).normal(size=10) + 3.0 * labels
    drawn = []
    for times in (1, 10, 100):
        many, known = np.tile(decisions, times), np.tile(labels, times)
        plain, shift = fit_platt(many, known, even=0.0).shift, fit_platt(many, known).shift
        drawn.append(abs(shift - plain) / abs(plain))
    assert drawn[0] > 0.25
    assert drawn[0] > 3 * drawn[1] > 9 * drawn[2]
    assert drawn[2] < 0.02


def test_examples_that_are_not_there_give_no_slope_where_few_are_at_risk() -> None:
    """The decisions rank backwards below zero: only the added ones, half of them at risk, are higher."""
    labels = np.array([1] * 2 + [0] * 12)
    decisions = np.concatenate([np.full(2, -1.2), np.full(12, -1.0)])
    assert fit_platt(decisions, labels).slope == 0.0


def test_a_feature_that_never_varies_divides_nothing() -> None:
    means = np.random.default_rng(0).normal(size=(20, 3))
    means[:, 1] = 7.0
    assert standard(means)[1][1] == 1.0
