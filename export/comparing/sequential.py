"""Tests and intervals that hold however often somebody looks: for two bundles that share a stream by chance.

Each message goes to NEW with a known probability, its share `s`, whatever it says. So of the messages that
something happens to (they are sent to people, or missed), NEW has the part q = s r / (s r + 1 - s), where r
is how many times as often it happens under NEW as under OLD. No rate need stay the same from hour to hour,
and none is estimated. The ratio is another matter: what is stated holds where r is at most r0 (or at least,
for the other direction) at every time. Of a ratio that is above r0 in one hour and below in another, nothing
is stated.

The evidence against "r is at most r0" is a mixture of likelihood ratios of larger r against r0. While r is
at most r0 it is a nonnegative supermartingale that starts at 1, so that it ever reaches 1/a with a
probability of at most a (Ville 1939; Robbins 1970, Statistical methods related to the law of the iterated
logarithm, Ann. Math. Statist. 41; for tests and confidence sequences: Howard, Ramdas, McAuliffe and Sekhon
2021, Time-uniform, nonparametric, nonasymptotic confidence sequences, Ann. Statist. 49). Somebody who looks
each hour, and stops at the first look that says yes, is wrong no more often than that.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from export.evaluating.intervals import Interval

# How much larger than r0 the ratios of the mixture are, as logarithms: from 2 % to seven times.
_STEPS: Final = np.geomspace(0.02, 2.0, 100)
_WIDEST: Final = 7.0  # of intervals: the logarithm of about 1,100
_HALVINGS: Final = 40


def evidence_above(new: int, old: int, share: float, ratio: float) -> float:
    """The logarithm of the evidence that NEW has more than `ratio` times as many as OLD, for its share.

    `new` and `old` are how often it happened to either; `share`, in (0, 1), is NEW's part of the messages.
    """
    return _evidence(new, old, share, ratio, _STEPS)


def evidence_below(new: int, old: int, share: float, ratio: float) -> float:
    """The logarithm of the evidence that NEW has less than `ratio` times as many as OLD, for its share."""
    return _evidence(new, old, share, ratio, -_STEPS)


def shown(evidence: float, error: float) -> bool:
    """Whether evidence (a logarithm) shows it, where one may be wrong with a probability of `error`."""
    return evidence >= -math.log(error)


def lower_bound(new: int, old: int, share: float, error: float) -> float:
    """The largest ratio that NEW is shown to exceed, one-sided: the whole error is on this side. Or 0."""
    return _end(lambda ratio: shown(evidence_above(new, old, share, ratio), error), 0.0, rising=False)


def ratio_interval(new: int, old: int, share: float, error: float) -> Interval:
    """The ratios that are not ruled out, two-sided: at any time, but with a probability of `error`."""
    return Interval(
        lower_bound(new, old, share, error / 2),
        _end(lambda ratio: shown(evidence_below(new, old, share, ratio), error / 2), np.inf, rising=True),
    )


def _evidence(new: int, old: int, share: float, ratio: float, steps: NDArray[np.float64]) -> float:
    odds = share / (1 - share) * ratio
    others = odds * np.exp(steps)
    # log(q / q0) and log((1 - q) / (1 - q0)), with q = odds / (1 + odds)
    for_old = np.log1p(odds) - np.log1p(others)
    terms = new * (steps + for_old) + old * for_old
    most = terms.max()
    return float(most + np.log(np.exp(terms - most).mean()))


def _end(is_ruled_out: Callable[[float], bool], open_end: float, *, rising: bool) -> float:
    """Where an interval ends: ratios beyond it are ruled out. `open_end` where even the widest is not."""
    out, within = (_WIDEST, -_WIDEST) if rising else (-_WIDEST, _WIDEST)
    if not is_ruled_out(float(np.exp(out))):
        return open_end
    for _ in range(_HALVINGS):
        middle = (out + within) / 2
        if is_ruled_out(float(np.exp(middle))):
            out = middle
        else:
            within = middle
    return float(np.exp(within))
