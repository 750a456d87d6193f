import numpy as np
import pytest

from engine.odds import sigmoid
from export.adapting.heads import Vectors, choose, fit_platt, from_labels, out_of_fold, standard

LAYERS, HIDDEN, COUNT = 10, 12, 40
LABELS = np.arange(COUNT) % 2


def _vectors(informative: dict[int, float], *, seed: int = 0) -> Vectors:
    """Noise in every layer; in the `informative` ones (1-based) a direction that tells the classes apart."""
    random = np.random.default_rng(seed)
    windows = random.normal(size=(COUNT, LAYERS, HIDDEN)).astype(np.float32)
    for layer, strength in informative.items():
        windows[:, layer - 1, 0] += strength * (2 * LABELS - 1)
    return Vectors(windows, np.arange(COUNT))


def _choose(vectors: Vectors) -> int:
    return choose(vectors, LABELS, lambda *_: None).layer


def test_a_layer_that_clearly_tells_more_is_taken() -> None:
    assert _choose(_vectors({2: 4.0})) == 2


def test_the_middle_is_taken_where_layers_are_alike() -> None:
    one = _vectors({1: 2.0})
    alike = Vectors(np.repeat(one.windows[:, :1], LAYERS, axis=1), one.starts)
    assert _choose(alike) == 5


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
    learn = from_labels(LABELS, 0.01)
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


def test_a_feature_that_never_varies_divides_nothing() -> None:
    means = np.random.default_rng(0).normal(size=(20, 3))
    means[:, 1] = 7.0
    assert standard(means)[1][1] == 1.0
