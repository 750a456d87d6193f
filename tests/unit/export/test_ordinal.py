"""The severity head knows that levels have an order."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.reading.engines import softmax
from export.adapting.ordinal import fit_severity

HIDDEN = 12


def _noisy(levels: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Vectors that lie along one direction by their level, among noise in all others."""
    z = np.random.default_rng(seed).normal(size=(len(levels), HIDDEN))
    z[:, 0] += levels
    return np.asarray((z - z.mean(axis=0)) / z.std(axis=0), np.float64)


@pytest.mark.parametrize("levels", [[], [2, 2, 2], [0, 1, 1, 0]])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_level_has_a_probability_whatever_the_examples_show(levels: list[int], count: int) -> None:
    kept = [level for level in levels if level < count]
    z = np.random.default_rng(0).normal(size=(len(kept), HIDDEN))
    weight, bias = fit_severity(z, np.array(kept, np.int64), count)
    assert weight.shape == (count, HIDDEN)
    assert bias.shape == (count,)
    assert (softmax(z @ weight.T + bias) > 0).all()


def test_without_examples_all_levels_are_alike() -> None:
    weight, bias = fit_severity(np.zeros((0, HIDDEN)), np.zeros(0, np.int64), 3)
    assert softmax(np.ones((1, HIDDEN)) @ weight.T + bias) == pytest.approx(np.full((1, 3), 1 / 3))


def test_two_levels_are_told_apart_in_the_right_direction() -> None:
    z = np.outer([-1, 1, -1, 1, -1, 1], np.ones(HIDDEN))
    weight, bias = fit_severity(z, np.array([0, 1, 0, 1, 0, 1]), 2, 0.1)
    assert softmax(z @ weight.T + bias).argmax(axis=1).tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("seed", range(3))
def test_along_its_direction_severity_only_rises(seed: int) -> None:
    """A softmax with free weights may find the middle level where the highest should be."""
    levels = np.arange(30) % 5
    weight, bias = fit_severity(_noisy(levels, seed), levels, 5, 1.0)
    line = np.linspace(-9, 9, 50)[:, np.newaxis] * weight[-1] / np.linalg.norm(weight[-1])
    expected = softmax(line @ weight.T + bias) @ np.arange(5)
    assert (np.diff(expected) > 0).all()
    assert np.linalg.matrix_rank(weight) == 1


def test_a_level_that_no_example_has_lies_between_its_neighbours() -> None:
    """Messages between the lowest and the highest examples get the level between, unseen as it is."""
    levels = np.arange(40) % 2 * 2
    z = np.outer(levels - 1.0, np.eye(HIDDEN)[0])
    weight, bias = fit_severity(z, levels, 3, 10.0)
    shares = softmax(np.outer([-1.0, 0.0, 1.0], np.eye(HIDDEN)[0]) @ weight.T + bias)
    assert shares.argmax(axis=1).tolist() == [0, 1, 2]


def test_a_rare_level_is_found() -> None:
    """Where nearly all examples are of one level, a head must not say that level for every message."""
    levels = np.array([1] * 34 + [0] * 3 + [2] * 3)
    z = _noisy(3 * levels, 1)
    weight, bias = fit_severity(z, levels, 3)
    said = softmax(z @ weight.T + bias).argmax(axis=1)
    assert (said[levels == 2] == 2).all()
    assert (said[levels == 0] == 0).all()


def test_the_same_examples_give_the_same_head() -> None:
    levels = np.arange(30) % 3
    first, second = (fit_severity(_noisy(levels, 4), levels, 3) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
