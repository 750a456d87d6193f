"""How few labels are enough: every way of screening, fitted on k labelled examples, several times over.

k counts all labelled examples: half of them are at risk, and one more where k is odd. A draw is one random
order of the training file; its 25 examples hold its 10. All ways are fitted on the same draws and measured on
the same test file, which no draw touches. A way that needs more than k examples has no figure at k.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from engine.errors import FatalError, TaskError
from export.evaluating.figures import EVEN_ODDS, Labels, Risks, answered
from export.evaluating.ways import Count, Way
from export.examples import LabelledExample

SHOTS: Final = (0, 1, 5, 10, 25, 50)
DRAWS: Final = 5

Progress = Callable[[str, int, int], None]


class Draw(NamedTuple):
    """The examples of one draw for `labels` of them."""

    labels: int
    number: int
    examples: list[LabelledExample]


class Spread(msgspec.Struct, frozen=True):
    """The mean over the draws and their standard deviation, which one draw alone does not have."""

    mean: float
    deviation: float | None
    draws: tuple[float, ...]


class Row(msgspec.Struct, frozen=True):
    """One way at one number of labels, a figure a draw. `unanswered` counts texts, over all draws.

    A message counts as at risk from even odds on, or where the way gave no answer.
    """

    way: str
    labels: int
    f1: Spread
    balanced_accuracy: Spread
    precision: Spread
    recall: Spread
    auc: Spread
    unanswered: int


class Shots(msgspec.Struct, frozen=True):
    """Every way at every number of labels.

    `fewest` says how many labels each way needs, `messages_per_second` how fast those are that were timed,
    `cost_per_million` what a million messages cost each way that has a price.
    """

    train: str
    train_examples: int
    test_examples: int
    labels: tuple[int, ...]
    draws: int
    seed: int
    rows: tuple[Row, ...]
    fewest: dict[str, int]
    messages_per_second: dict[str, float]
    cost_per_million: dict[str, float] = {}
    notes: tuple[str, ...] = ()


def draw(train: Sequence[LabelledExample], counts: Sequence[int], draws: int, seed: int) -> list[Draw]:
    """Draw `draws` times as many examples as each count says; for 0 there is one draw, of none.

    Raises TaskError: the training file has too few of a class.
    """
    kinds = [
        [index for index, each in enumerate(train) if each.at_risk is at_risk] for at_risk in (True, False)
    ]
    most = max(counts, default=0)
    needed = ((most + 1) // 2, most // 2)
    if len(kinds[0]) < needed[0] or len(kinds[1]) < needed[1]:
        raise TaskError(
            f"--shots {most} draws {needed[0]} examples at risk and {needed[1]} others: the training file "
            f"has {len(kinds[0])} and {len(kinds[1])}; bring more, or give smaller --shots"
        )
    chance = np.random.default_rng(seed)
    drawn = []
    for number in range(1, draws + 1):
        at_risk, others = (
            chance.permutation(kind)[:need].tolist() for kind, need in zip(kinds, needed, strict=True)
        )
        for count in counts:
            if count or number == 1:
                taken = [*at_risk[: (count + 1) // 2], *others[: count // 2]]
                drawn.append(Draw(count, number, [train[index] for index in sorted(taken)]))
    return sorted(drawn, key=lambda each: (each.labels, each.number))


def require_both(test: Sequence[LabelledExample]) -> None:
    """Raise TaskError where a file to test on has one class only."""
    if len({example.at_risk for example in test}) != 2:  # noqa: PLR2004 - at risk and not
        raise TaskError("the test file has one class only: it needs messages at risk and others")


def measure(
    ways: Sequence[Way],
    drawn: Sequence[Draw],
    test: Sequence[LabelledExample],
    progress: Progress = lambda *_: None,
) -> tuple[Row, ...]:
    """Fit every way on every draw that has enough for it, and measure it on all of `test`.

    A way that needs no examples (`fewest` is 0) is asked once, without any, where 0 is among the counts.

    Raises TaskError: the test file has one class only. FatalError: a way cannot be run, or gives another
    number of answers than there are texts.
    """
    require_both(test)
    labels = np.array([example.at_risk for example in test], np.int64)
    texts = [example.text for example in test]
    rows = []
    for way in ways:
        asked = [each for each in drawn if (each.labels >= way.fewest if way.fewest else not each.labels)]
        found: dict[int, list[Risks]] = {}
        for place, each in enumerate(asked):
            count = _counter(progress, f"measure: {way.name}", place * len(texts), len(asked) * len(texts))
            risks = np.asarray(way.risks(each.examples, texts, count), np.float64)
            if risks.shape != labels.shape:
                raise FatalError(
                    f"{way.name} gave {risks.size} answers for {len(labels)} texts: leave it out"
                )
            found.setdefault(each.labels, []).append(risks)
        rows += [_row(way.name, count_, labels, each) for count_, each in found.items()]
    return tuple(rows)


def _counter(progress: Progress, stage: str, before: int, total: int) -> Count:
    read = before
    progress(stage, read, total)

    def count(more: int) -> None:
        nonlocal read
        read += more
        progress(stage, read, total)

    return count


def _row(way: str, count: int, labels: Labels, found: Sequence[Risks]) -> Row:
    figures = np.array([_figures(labels, answered(risks)) for risks in found])
    f1, balanced, precision, recall, auc = (_spread(column) for column in figures.T)
    unanswered = sum(int((~np.isfinite(risks)).sum()) for risks in found)
    return Row(way, count, f1, balanced, precision, recall, auc, unanswered)


def _figures(labels: Labels, risks: Risks) -> tuple[float, ...]:
    flagged = (risks >= EVEN_ODDS).astype(np.int64)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, flagged, labels=[0, 1], zero_division=0.0
    )
    auc = float(roc_auc_score(labels, risks))
    return float(f1[1]), float(recall.mean()), float(precision[1]), float(recall[1]), auc


def _spread(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Spread:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), deviation, tuple(values.tolist()))
