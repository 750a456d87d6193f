"""Whether a risk of 0.7 means that seven in ten are at risk: the reliability diagram and its summary."""

from typing import Final

import msgspec
import numpy as np

from export.evaluating.figures import Labels, Risks
from export.evaluating.intervals import Interval, share

BINS: Final = 10
_DRAWS: Final = 200


class Bin(msgspec.Struct, frozen=True):
    """Messages with a risk from `low` up to `high`: their mean risk, and the share that is at risk."""

    low: float
    high: float
    examples: int
    mean_risk: float | None
    at_risk: float | None
    at_risk_interval: Interval


class Reliability(msgspec.Struct, frozen=True):
    """`error` is the expected calibration error (ECE): the mean distance of the bins from the diagonal.

    It weighs each bin by its messages. Even perfect probabilities would show `by_chance` on so few examples.
    It holds at the file's own share of messages at risk, not at another one.
    """

    error: float
    by_chance: float
    bins: tuple[Bin, ...]


def reliability(labels: Labels, risks: Risks, seed: int = 0) -> Reliability:
    """The diagram of these examples [N], in ten bins of equal width."""
    places = np.minimum((risks * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    sums = np.bincount(places, weights=risks, minlength=BINS)
    hits = np.bincount(places, weights=labels, minlength=BINS).astype(np.int64)
    chance = np.random.default_rng(seed)
    drawn = chance.random((_DRAWS, len(risks))) < risks
    perfect = np.stack([np.bincount(places, weights=row, minlength=BINS) for row in drawn])
    bins = tuple(
        Bin(
            low=place / BINS,
            high=(place + 1) / BINS,
            examples=int(counts[place]),
            mean_risk=float(sums[place] / counts[place]) if counts[place] else None,
            at_risk=float(hits[place] / counts[place]) if counts[place] else None,
            at_risk_interval=share(int(hits[place]), int(counts[place])),
        )
        for place in range(BINS)
    )
    return Reliability(
        error=float(np.abs(sums - hits).sum() / len(risks)),
        by_chance=float(np.abs(sums - perfect).sum(axis=1).mean() / len(risks)),
        bins=bins,
    )
