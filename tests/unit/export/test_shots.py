"""Draws, and ways of screening measured on them."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import FatalError, TaskError
from export.evaluating.shots import draw, measure
from export.evaluating.ways import Count
from export.examples import LabelledExample

TRAIN = [LabelledExample(f"train {n}", at_risk=n % 3 == 0) for n in range(90)]
TEST = [LabelledExample(f"test {n}", at_risk=n % 4 == 0) for n in range(40)]
LABELS = np.array([example.at_risk for example in TEST], np.float64)


class Learner:
    """Knows as many of the test file's labels as it was shown examples; says nothing of the last text."""

    name = "learner"
    fewest = 5

    def __init__(self, silent: int = 0) -> None:
        self.asked: list[list[LabelledExample]] = []
        self._silent = silent

    def risks(
        self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Count
    ) -> NDArray[np.float64]:
        self.asked.append(list(examples))
        count(len(texts))
        known = np.where(np.arange(len(texts)) < 2 * len(examples), LABELS, 0.4)
        known[len(texts) - self._silent :] = np.nan
        return known


class Guesser(Learner):
    name = "guesser"
    fewest = 0


def test_draws_are_balanced_nested_and_repeatable() -> None:
    drawn = draw(TRAIN, (0, 1, 5, 10), 3, seed=7)
    assert [(each.labels, each.number) for each in drawn] == [
        (0, 1),
        *((count, number) for count in (1, 5, 10) for number in (1, 2, 3)),
    ]
    for each in drawn:
        assert len(each.examples) == each.labels
        assert sum(example.at_risk for example in each.examples) == (each.labels + 1) // 2
    by = {(each.labels, each.number): {example.text for example in each.examples} for each in drawn}
    assert by[5, 2] < by[10, 2]
    assert by[10, 1] != by[10, 2]
    assert drawn == draw(TRAIN, (0, 1, 5, 10), 3, seed=7) != draw(TRAIN, (0, 1, 5, 10), 3, seed=8)


def test_too_few_examples_to_draw_from_are_named() -> None:
    with pytest.raises(TaskError, match="25 examples at risk and 25 others: the training file has 10 and 20"):
        draw(TRAIN[:30], (10, 50), 1, seed=1)


def test_each_way_is_fitted_on_the_same_draws_and_only_with_enough_labels() -> None:
    drawn = draw(TRAIN, (0, 1, 5, 20), 2, seed=1)
    learner, guesser = Learner(), Guesser()
    stages: list[tuple[str, int, int]] = []
    rows = measure([guesser, learner], drawn, TEST, lambda *stage: stages.append(stage))
    assert [(row.way, row.labels) for row in rows] == [("guesser", 0), ("learner", 5), ("learner", 20)]
    assert guesser.asked == [[]]  # once, without examples
    assert learner.asked == [each.examples for each in drawn if each.labels >= 5]
    assert rows[2].f1.mean == rows[2].auc.mean == 1.0  # it was shown everything
    assert rows[2].f1.deviation == 0.0
    assert rows[0].f1.deviation is None
    assert rows[1].f1.mean < 1.0
    assert stages[-1] == ("measure: learner", 160, 160)


def test_an_unanswered_text_counts_as_one_for_people_and_is_told() -> None:
    drawn = draw(TRAIN, (20,), 1, seed=1)
    (row,) = measure([Learner(silent=2)], drawn, TEST)
    assert row.unanswered == 2
    assert row.recall.mean == 1.0  # whoever got no answer is not cleared
    assert row.precision.mean == pytest.approx(10 / 12)  # and nobody has told that they are fine


def test_a_way_that_answers_another_number_of_texts_is_refused() -> None:
    class Short(Learner):
        def risks(
            self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Count
        ) -> NDArray[np.float64]:
            return super().risks(examples, texts, count)[:-1]

    with pytest.raises(FatalError, match="learner gave 39 answers for 40 texts"):
        measure([Short()], draw(TRAIN, (10,), 1, seed=1), TEST)


def test_a_test_file_of_one_class_is_refused() -> None:
    with pytest.raises(TaskError, match="one class only"):
        measure([Learner()], draw(TRAIN, (10,), 1, seed=1), TEST[1:4])
