"""The severity stage: how often its most probable level is the labelled one, and how far off it is."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score

from engine.scores import Scores
from engine.task import Task
from export.evaluating.intervals import Interval, Weights, bootstrap, share
from export.examples import LabelledExample


class LevelReport(msgspec.Struct, frozen=True):
    """The messages labelled with one level.

    `found` is the share of them that were given this level or a higher one, `missed` how many were cleared.
    """

    name: str
    examples: int
    found: float | None
    found_interval: Interval
    missed: int


class SeverityReport(msgspec.Struct, frozen=True):
    """The severity stage, on the examples with a level. `confusion` [true][most probable], least first.

    `kappa` is Cohen's kappa with quadratic weights: an error of two levels costs as much as four of one.
    `mean_error` is in levels. `ungraded` counts examples with a level whose severity could not be read; they
    are in no other figure. Intervals are bootstrapped; None where all is one level.
    """

    examples: int
    macro_f1: float
    kappa: float
    confusion: list[list[int]]
    mean_error: float = 0.0
    kappa_interval: Interval | None = None
    mean_error_interval: Interval | None = None
    levels: tuple[LevelReport, ...] = ()
    ungraded: int = 0


def severity_report(
    task: Task,
    examples: Sequence[LabelledExample],
    scores: Sequence[Scores],
    cleared: NDArray[np.bool_],
    seed: int = 0,
) -> SeverityReport | None:
    """The figures of the examples with a level; `cleared` [N] are those that nobody would see."""
    order = {name: index for index, name in enumerate(task.level_names)}
    levelled = [index for index, example in enumerate(examples) if example.severity is not None]
    graded = [index for index in levelled if _readable(scores[index])]
    if not graded:
        return None
    true = np.array([order[examples[index].severity or ""] for index in graded], np.int64)
    guessed = np.array([int(np.argmax(scores[index].severity or ())) for index in graded], np.int64)
    count = len(order)

    def figures(weights: Weights) -> NDArray[np.float64]:
        return np.stack(
            [_kappa(weights, true, guessed, count), weights @ np.abs(true - guessed) / len(true)], 1
        )

    kappa, error = (float(figure) for figure in figures(np.ones((1, len(true)), np.int64))[0])
    of_kappa, of_error = bootstrap(true, figures, seed=seed)
    same = len({*true.tolist(), *guessed.tolist()}) == 1
    return SeverityReport(
        examples=len(graded),
        macro_f1=float(f1_score(true, guessed, average="macro", zero_division=0.0)),
        kappa=kappa,
        confusion=confusion_matrix(true, guessed, labels=list(range(count))).tolist(),
        mean_error=error,
        kappa_interval=None if same else of_kappa,
        mean_error_interval=None if same else of_error,
        levels=tuple(
            _level(name, true == level, guessed >= level, cleared[graded]) for name, level in order.items()
        ),
        ungraded=len(levelled) - len(graded),
    )


def _readable(scores: Scores) -> bool:
    return scores.severity is not None and bool(np.isfinite(scores.severity).all())


def _level(
    name: str, of_it: NDArray[np.bool_], found: NDArray[np.bool_], cleared: NDArray[np.bool_]
) -> LevelReport:
    count, hits = int(of_it.sum()), int((of_it & found).sum())
    return LevelReport(
        name, count, hits / count if count else None, share(hits, count), int((of_it & cleared).sum())
    )


def _kappa(
    weights: Weights, true: NDArray[np.int64], guessed: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Quadratic weighted kappa of each resample [R]; 1 where nothing could disagree."""
    rows = np.stack([weights @ (true == level) for level in range(count)], 1) / len(true)
    columns = np.stack([weights @ (guessed == level) for level in range(count)], 1) / len(true)
    steps = np.arange(count)
    cost = (steps[:, np.newaxis] - steps) ** 2
    expected = np.einsum("ri,ij,rj->r", rows, cost, columns)
    seen = weights @ (true - guessed) ** 2 / len(true)
    return np.where(expected > 0, 1 - seen / np.where(expected > 0, expected, 1), 1.0)
