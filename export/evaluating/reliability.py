"""Whether a risk of 0.7 means that seven in ten are at risk: the reliability diagram and its summary."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.evaluating.figures import Flags, Labels, Risks
from export.evaluating.intervals import Interval, share

BINS: Final = 10
_DRAWS: Final = 200
_LEAST: Final = 1e-300

Floats = NDArray[np.float64]


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
    All of it, the bins' figures too, holds where `prevalence` of all messages are at risk, and not elsewhere.
    """

    error: float
    by_chance: float
    bins: tuple[Bin, ...]
    prevalence: float | None = None


def reliability(
    labels: Labels, risks: Risks, seed: int = 0, *, prevalence: float | None = None
) -> Reliability:
    """The diagram of these examples [N], in ten bins of equal width.

    `prevalence` is the share at risk that the risks are stated for: each class weighs as it would there, if
    both are in the file. By default it is the file's own.
    """
    own = float(labels.mean())
    at = own if prevalence is None or own in {0.0, 1.0} else prevalence
    # How much an example of either class stands for, at that share.
    ill, well = (1.0, 1.0) if at == own else (at / own, (1 - at) / (1 - own))
    places = np.minimum((risks * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    positives = np.bincount(places, weights=labels, minlength=BINS).astype(np.int64)

    def sums(at_risk: Flags) -> list[Floats]:
        """What each bin weighs, its weighed risks, and what of it is at risk."""
        weights = np.where(at_risk, ill, well)
        return [
            np.asarray(np.bincount(places, weights=each, minlength=BINS), np.float64)
            for each in (weights, weights * risks, weights * at_risk)
        ]

    def error(at_risk: Flags) -> float:
        size, stated, found = sums(at_risk)
        return float(np.abs(stated - found).sum() / size.sum())

    # In this file, messages of a risk that is right at that share are at risk as often as this.
    likely = risks * well / np.maximum(risks * well + (1 - risks) * ill, _LEAST)
    drawn = np.random.default_rng(seed).random((_DRAWS, len(risks))) < likely
    size, stated, found = sums(labels == 1)
    return Reliability(
        error=error(labels == 1),
        by_chance=float(np.mean([error(row) for row in drawn])),
        bins=tuple(
            Bin(
                low=place / BINS,
                high=(place + 1) / BINS,
                examples=int(counts[place]),
                mean_risk=float(stated[place] / size[place]) if size[place] else None,
                at_risk=float(found[place] / size[place]) if size[place] else None,
                at_risk_interval=_weighed(share(int(positives[place]), int(counts[place])), ill, well),
            )
            for place in range(BINS)
        ),
        prevalence=at,
    )


def _weighed(interval: Interval, ill: float, well: float) -> Interval:
    """The interval of a share in the file, where those at risk weigh `ill` and the others `well`."""
    low, high = (
        end * ill / max(end * ill + (1 - end) * well, _LEAST) for end in (interval.low, interval.high)
    )
    return Interval(low, high)
