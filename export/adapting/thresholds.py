"""Sets thresholds with a stated bound on mistakes, by conformal risk control.

The method is that of Angelopoulos et al., arXiv:2208.02814. For a loss in [0, 1] that only shrinks as a
threshold moves, the theorem keeps the expected loss on a new message at or below a rate, if (losses on n
examples + 1) / (n + 1) is kept at or below it.

    lower   the loss is a message at risk that gets the verdict clear (a miss)
    upper   the loss is a message not at risk that gets the verdict at_risk (a false alarm)

Each bound is about one class, whatever its share of the stream: "of the messages at risk, at most one in ten
is cleared". The theorem assumes that the examples are drawn like the messages to come, and scored by the very
heads that will run. The first is not guaranteed. The second does not quite hold, because the scores here are
out-of-fold, so the bound is approximate.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bounds(NamedTuple):
    """Risk scores: below `lower` a message is clear, from `upper` on it is at_risk."""

    lower: float
    upper: float


def conformal_bounds(risks: NDArray[np.float64], labels: NDArray[np.int64], rate: float) -> Bounds:
    """Return the widest `clear` and `at_risk` ranges whose expected mistakes stay within `rate` per class.

    With fewer than 1 / rate - 1 examples of a class, nothing can be promised for it. Its bound is then 0
    (nothing is clear) or just above 1 (nothing is at_risk), and people see every message.
    """
    positives, negatives = np.sort(risks[labels == 1]), np.sort(risks[labels == 0])
    misses, alarms = allowed(len(positives), rate), allowed(len(negatives), rate)
    lower = 0.0 if misses < 0 else float(positives[misses])
    upper = 1.0 if alarms < 0 else float(np.nextafter(negatives[-1 - alarms], 2.0))
    # Where the classes do not overlap, the bounds cross. Each may then move to the cautious side of the gap.
    return Bounds(min(lower, upper, 1.0), min(max(lower, upper), 1.0))


def allowed(examples: int, rate: float) -> int:
    """Return the most mistakes m of `examples` with (m + 1) / (examples + 1) <= rate; -1 if 0 is too many."""
    return math.floor(rate * (examples + 1) + 1e-9) - 1


def needed(rate: float) -> int:
    """Return how many examples of a class are needed before a bound can be promised for it."""
    return math.ceil(1 / rate - 1e-9) - 1
