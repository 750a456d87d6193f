"""Whether two bundles err equally often on the same messages: McNemar's exact test, and Tango's interval.

Only the messages on which one errs and the other does not say anything about a difference.

    test        were both equally good, each of those messages would be the one's or the other's error with
                even odds, so that the count is binomial (McNemar's test in its exact form)
    interval    of the difference of both error rates: Tango's score interval for paired shares (Statistics in
                Medicine 17, 1998), which stays sensible where there are few such messages, or none
"""

from typing import Final

import msgspec
import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binomtest

from export.evaluating.intervals import CONFIDENCE, Interval

SIGNIFICANT: Final = 1 - CONFIDENCE
_TINY: Final = 1e-12


class Paired(msgspec.Struct, frozen=True):
    """How often OLD and NEW err on the same `of` messages. `difference` is NEW's error rate less OLD's.

    `only_old` and `only_new` are the messages on which that one errs alone, `both` those on which both do.
    `p` is McNemar's exact one, two-sided. `interval` is that of the difference, at 95 %.
    """

    of: int
    both: int
    only_old: int
    only_new: int
    p: float
    difference: float
    interval: Interval

    @property
    def differs(self) -> bool:
        """Whether the test rejects that both err equally often."""
        return self.p < SIGNIFICANT


def paired(of: int, both: int, only_old: int, only_new: int) -> Paired | None:
    """Compare errors on `of` messages; None where there are none."""
    if not of:
        return None
    return Paired(
        of,
        both,
        only_old,
        only_new,
        mcnemar(only_old, only_new),
        (only_new - only_old) / of,
        tango(of, only_old, only_new),
    )


def mcnemar(only_old: int, only_new: int) -> float:
    """The two-sided p of McNemar's exact test; 1 where neither errs alone."""
    either = only_old + only_new
    return float(binomtest(only_old, either).pvalue) if either else 1.0


def tango(of: int, only_old: int, only_new: int, confidence: float = CONFIDENCE) -> Interval:
    """The interval of the difference (`only_new` - `only_old`) / `of`, by inverting the score test."""
    z = float(ndtri(0.5 + confidence / 2))
    observed = (only_new - only_old) / of

    def beyond(difference: float) -> float:
        return abs(_score(of, only_old, only_new, difference)) - z

    ends = []
    for end in (-1 + _TINY, 1 - _TINY):
        # Between what was seen, which is no surprise, and the end, which may be one.
        surprising = abs(end - observed) > _TINY and beyond(end) > 0
        ends.append(float(brentq(beyond, observed, end)) if surprising else round(end))
    return Interval(*ends)


def _score(of: int, only_old: int, only_new: int, difference: float) -> float:
    """Tango's score statistic: how many standard errors the counts are from a supposed `difference`."""
    a = 2 * of
    b = -only_new - only_old + (2 * of - only_new + only_old) * difference
    c = -only_old * difference * (1 - difference)
    alone = (np.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (
        2 * a
    )  # OLD's errors alone, were that the difference
    variance = of * (2 * alone + difference * (1 - difference))
    distance = only_new - only_old - of * difference
    if abs(distance) < _TINY * of:
        return 0.0
    return float(distance / np.sqrt(variance)) if variance > 0 else float(np.copysign(np.inf, distance))
