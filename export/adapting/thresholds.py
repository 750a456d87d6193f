"""Sets thresholds with a stated bound on mistakes: in expectation, or with a stated confidence.

    lower   a mistake is a message at risk that gets the verdict clear (a miss)
    upper   a mistake is a message not at risk that gets the verdict at_risk (a false alarm)

Each bound is about one class, whatever its share of the stream: "of the messages at risk, at most one in ten
is cleared". A threshold is the (m + 1)th lowest risk of the n examples at risk (for `upper`, the (m + 1)th
highest of the others), so that it makes m mistakes among them. How many they may be is set by the promise:

    in expectation    m is the most with (m + 1) / (n + 1) <= rate. This is conformal risk control
                      (Angelopoulos et al., arXiv:2208.02814): on average over many draws of examples, the
                      rate is kept. The bundle at hand may exceed it, and about every other one does.
    with confidence   m is the most with P(Binomial(n, rate) <= m) <= 1 - confidence. This tests exactly, by
                      Clopper and Pearson's bound, whether the miss rate is above the rate, at every threshold
                      from the lowest up, until it cannot be ruled out (Learn then Test, arXiv:2110.01052, in
                      a fixed sequence). As the miss rate only grows on the way, the chance that the bundle at
                      hand exceeds the rate is at most 1 - confidence.

Both assume that the examples are drawn like the messages to come, and scored by the very heads that will run.
The first is not guaranteed. Where `adapt` uses its own examples, the second does not quite hold, because the
scores are out-of-fold: its bound is approximate.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

_ROUNDING = 1e-9


class Bounds(NamedTuple):
    """Risk scores: below `lower` a message is clear, from `upper` on it is at_risk."""

    lower: float
    upper: float


def conformal_bounds(risks: NDArray[np.float64], labels: NDArray[np.int64], rate: float) -> Bounds:
    """Return the widest `clear` and `at_risk` ranges whose expected mistakes stay within `rate` per class.

    With fewer than 1 / rate - 1 examples of a class, nothing can be promised for it. Its bound is then 0
    (nothing is clear) or just above 1 (nothing is at_risk), and people see every message.
    """
    positives, negatives = risks[labels == 1], risks[labels == 0]
    return bounds(positives, negatives, allowed(len(positives), rate), allowed(len(negatives), rate))


def bounds(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], misses: int, alarms: int
) -> Bounds:
    """Return the widest `clear` and `at_risk` ranges with at most so many mistakes among these risks.

    `misses` are allowed among the risks of `positives`, `alarms` among those of `negatives`; -1 where not
    even none is few enough.
    """
    lower = 0.0 if misses < 0 else float(np.sort(positives)[misses])
    upper = 1.0 if alarms < 0 else float(np.nextafter(np.sort(negatives)[-1 - alarms], 2.0))
    # Where the classes do not overlap, the bounds cross. Each may then move to the cautious side of the gap.
    return Bounds(min(lower, upper, 1.0), min(max(lower, upper), 1.0))


def allowed(examples: int, rate: float) -> int:
    """Return the most mistakes m of `examples` with (m + 1) / (examples + 1) <= rate; -1 if 0 is too many."""
    return math.floor(rate * (examples + 1) + _ROUNDING) - 1


def needed(rate: float) -> int:
    """Return how many examples of a class are needed before a bound can be promised in expectation."""
    return math.ceil(1 / rate - _ROUNDING) - 1


def allowed_with(confidence: float, examples: int, rate: float) -> int:
    """Return the most mistakes of `examples` that show, with `confidence`, a rate of mistakes up to `rate`.

    -1 if not even 0 do.
    """
    chance = 1.0 - confidence
    most = int(binom.ppf(chance, examples, rate))  # the fewest mistakes that are at least so likely
    while most >= 0 and binom.cdf(most, examples, rate) > chance + _ROUNDING:
        most -= 1
    return most


def needed_with(confidence: float, rate: float) -> int:
    """Return how many examples of a class are needed before a bound can be promised with `confidence`."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate) - _ROUNDING)
