"""Intervals: how far a figure measured on a sample may be from that of all messages like it.

    share        of counts ("3 of 40 missed"): exact, by Clopper and Pearson (1934). It covers the true share
                 at least as often as stated, whatever the share and however few the examples
    bootstrap    of whatever else is computed from labelled examples (F1, AUC): percentiles of the figure over
                 resamples of the examples, as many of each class as there are (stratified)

The bootstrap takes the examples for all there is: of a few, or where not one was judged wrongly, its
intervals are too narrow. An exact interval of 0 in 10 reaches from 0 to 0.31.
"""

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2000
_AT_ONCE: Final = 1 << 22  # weights held at a time, so that a large file does not fill the memory

Weights = NDArray[np.int64]
Statistic = Callable[[Weights], NDArray[np.float64]]
"""Figures [R, F] (or [R]) of R resamples, from how often each example is in each: weights [R, N]."""


class Interval(msgspec.Struct, frozen=True):
    """From `low` to `high`, both included."""

    low: float
    high: float


def share(hits: int, of: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact interval of the share `hits` / `of`; from 0 to 1 where there is nothing to count."""
    tail = (1 - confidence) / 2
    low = float(betaincinv(hits, of - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, of - hits, 1 - tail)) if hits < of else 1.0
    return Interval(low, high)


def bootstrap(
    strata: NDArray[np.int64],
    statistic: Statistic,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> list[Interval]:
    """The interval of each figure of `statistic`; examples are resampled within their stratum [N].

    A resample in which a figure is not a number does not count for it. The interval always holds the figure
    of the examples themselves. The same seed gives the same intervals.
    """
    chance = np.random.default_rng(seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    rows = max(1, _AT_ONCE // max(len(strata), 1))
    parts = [
        statistic(_resample(members, min(rows, resamples - start), len(strata), chance))
        for start in range(0, resamples, rows)
    ]
    drawn = np.concatenate([part.reshape(len(part), -1) for part in parts])
    figures = statistic(np.ones((1, len(strata)), np.int64)).reshape(-1)
    tail = (1 - confidence) / 2
    return [
        _around(column[np.isfinite(column)], figure, tail)
        for column, figure in zip(drawn.T, figures, strict=True)
    ]


def _around(drawn: NDArray[np.float64], figure: float, tail: float) -> Interval:
    if not len(drawn):
        return Interval(float(figure), float(figure))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(np.fmin(low, figure)), float(np.fmax(high, figure)))


def _resample(members: list[NDArray[np.int64]], rows: int, size: int, chance: np.random.Generator) -> Weights:
    weights = np.zeros((rows, size), np.int64)
    for stratum in members:
        count = len(stratum)
        drawn = chance.integers(0, count, (rows, count)) + count * np.arange(rows)[:, np.newaxis]
        weights[:, stratum] = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
    return weights
