"""Suggestions stand for many messages, differ from one another, and ask what the head does not know."""

import numpy as np
import pytest
from numpy.typing import NDArray

from export.adapting.suggesting import suggest

HIDDEN = 8


def _groups(sizes: list[int], seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Messages in tight groups far apart from one another, and which group each is of."""
    chance = np.random.default_rng(seed)
    middles = 10 * np.eye(HIDDEN)[: len(sizes)]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return middles[groups] + 0.1 * chance.normal(size=(len(groups), HIDDEN)), groups


def test_every_group_is_stood_for_the_largest_first() -> None:
    vectors, groups = _groups([40, 10, 100, 5])
    found = suggest(vectors, None, 4)
    assert [int(groups[each.message]) for each in found] == [2, 0, 1, 3]
    assert [each.stands_for for each in found] == [100, 40, 10, 5]
    assert not any(each.uncertain for each in found)


def test_groups_that_the_head_is_unsure_of_come_first() -> None:
    vectors, groups = _groups([100, 100, 100])
    decisions = np.array([-6.0, 0.1, 6.0])[groups]
    first = suggest(vectors, decisions, 3)[0]
    assert groups[first.message] == 1
    assert first.uncertain


def test_two_of_a_group_are_suggested_where_the_head_is_unsure_not_where_it_knows() -> None:
    vectors, groups = _groups([100, 100, 100])
    vectors[groups == 1, 3] += np.where(np.arange(100) % 2, 1.5, -1.5)  # the middle group has two halves
    vectors[groups == 0, 4] += np.where(np.arange(100) % 2, 1.5, -1.5)  # so has the first one
    decisions = np.array([-9.0, 0.1, 9.0])[groups]
    found = [int(groups[each.message]) for each in suggest(vectors, decisions, 4)]
    assert sorted(found) == [0, 1, 1, 2]


def test_an_odd_message_is_not_suggested_for_being_odd() -> None:
    vectors, _ = _groups([60, 60])
    vectors = np.vstack([vectors, 30 * np.ones((1, HIDDEN))])
    found = suggest(vectors, np.zeros(len(vectors)), 2)
    assert len(vectors) - 1 not in [each.message for each in found if each.stands_for > 1]


@pytest.mark.parametrize("decisions", [None, np.zeros(7), np.full(7, 3.0)])
def test_messages_that_are_alike_are_suggested_once(decisions: NDArray[np.float64] | None) -> None:
    assert len(suggest(np.ones((7, HIDDEN)), decisions, 3)) == 1


def test_the_same_traffic_gives_the_same_suggestions() -> None:
    vectors = np.random.default_rng(3).normal(size=(80, HIDDEN))
    decisions = vectors[:, 0]
    assert suggest(vectors, decisions, 9) == suggest(vectors, decisions, 9)


def test_no_more_are_suggested_than_there_are() -> None:
    assert len(suggest(np.random.default_rng(3).normal(size=(4, HIDDEN)), None, 9)) == 4
