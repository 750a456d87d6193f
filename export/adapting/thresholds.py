"""Thresholds with a stated bound on mistakes: conformal risk control (Angelopoulos et al., arXiv:2208.02814).

For a loss in [0, 1] that only shrinks as a threshold moves, the theorem keeps the expected loss on a new
message at or below a rate, if (losses on n examples + 1) / (n + 1) is kept at or below it.

    lower   the loss is a message at risk that gets the verdict clear (a miss)
    upper   the loss is a message not at risk that gets the verdict at_risk (a false alarm)

Each bound is about one class, whatever its share of the stream: "of the messages at risk, at most one
in ten is cleared". What is not guaranteed: the theorem wants examples drawn like the messages to come,
and scores of the very heads that run. Here the scores are out-of-fold, so the bound is near, not exact.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bounds(NamedTuple):
    """Risk scores: below `lower` is clear, from `upper` on at_risk."""

    lower: float
    upper: float


def conformal_bounds(risks: NDArray[np.float64], labels: NDArray[np.int64], rate: float) -> Bounds:
    """The widest `clear` and `at_risk` whose expected mistakes stay within `rate`, for one class each.

    With fewer than 1 / rate - 1 examples of a class nothing can be promised of it: the bound is then
    0 (nothing is clear) or just above 1 (nothing is at_risk), and people see every message.
    """
    positives, negatives = np.sort(risks[labels == 1]), np.sort(risks[labels == 0])
    misses, alarms = allowed(len(positives), rate), allowed(len(negatives), rate)
    lower = 0.0 if misses < 0 else float(positives[misses])
    upper = 1.0 if alarms < 0 else float(np.nextafter(negatives[-1 - alarms], 2.0))
    # Where the classes lie apart, the bounds cross; each may be moved to the cautious side of the gap.
    return Bounds(min(lower, upper, 1.0), min(max(lower, upper), 1.0))


def allowed(examples: int, rate: float) -> int:
    """The most mistakes m among `examples` with (m + 1) / (examples + 1) <= rate; -1 where there is none."""
    return math.floor(rate * (examples + 1) + 1e-9) - 1


def needed(rate: float) -> int:
    """How many examples of a class it takes before anything can be promised of it."""
    return math.ceil(1 / rate - 1e-9) - 1
