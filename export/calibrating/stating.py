"""Makes risks mean what they say, at the stream's own share of messages at risk.

Platt scaling, fitted on examples that the heads have not seen, gives a slope and a shift of the log-odds.
With these, a risk is the share at risk among messages of that risk, if as many are at risk as among the
examples. Where the stream's share differs and each class looks the same, all log-odds shift by one number:
the difference of the two shares' log-odds (prior shift; Saerens et al. 2002). Both keep the order of risks,
and thresholds move with them: no verdict changes.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from sklearn.model_selection import StratifiedKFold

from engine.errors import TaskError
from engine.odds import Array, Odds, log_odds, sigmoid
from export.adapting.heads import Ints, fit_platt

BINS: Final = 10
_FOLDS: Final = 5
_FARTHEST: Final = 40.0  # in log-odds; risks of exactly 0 and 1 are infinite


class Bin(msgspec.Struct, frozen=True):
    """Examples of about the same stated risk: `stated` is its mean, `found` the share that is at risk.

    Both are at the stream's share, and so is the bin's `weight`; `examples` counts them.
    """

    stated: float
    found: float
    weight: float
    examples: int


def finite_log_odds(risks: Array) -> Array:
    """The log-odds of risks [N], of which none is infinite."""
    return np.clip(log_odds(risks), -_FARTHEST, _FARTHEST)


def fit_odds(decisions: Array, labels: Ints) -> Odds:
    """Fit the odds at the examples' own share, from log-odds [N] of examples that the heads had not seen.

    Raises TaskError: the examples at risk have no higher risk than the others.
    """
    platt = fit_platt(decisions, labels, even=0.0)
    if not platt.slope > 0:
        raise TaskError(
            "the bundle ranks these examples no better than chance: check their labels, or adapt it again"
        )
    return Odds(platt.slope, platt.shift)


def shifted(odds: Odds, origin: float, target: float) -> Odds:
    """The odds for a share `target` of messages at risk, of those for a share `origin`."""
    return Odds(odds.slope, odds.shift + _logit(target) - _logit(origin))


def stated_apart(decisions: Array, labels: Ints, target: float) -> Array:
    """Each example's risk [N] at the share `target`, by odds that were fitted without it."""
    folds = min(_FOLDS, int(np.bincount(labels, minlength=2).min()))
    risks = np.empty(len(labels))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    for train, test in splitter.split(decisions[:, np.newaxis], labels):
        platt = fit_platt(decisions[train], labels[train], even=0.0)
        shift = platt.shift + _logit(target) - _logit(float(labels[train].mean()))
        risks[test] = sigmoid(platt.slope * decisions[test] + shift)
    return risks


def weights(labels: Ints, share: float) -> Array:
    """How much each example stands for [N], so that those at risk are `share` of the whole, which is 1."""
    positives = int(labels.sum())
    return np.where(labels == 1, share / positives, (1.0 - share) / (len(labels) - positives))


def reliability(risks: Array, labels: Ints, share: float) -> list[Bin]:
    """Compare stated risks with what was found, in ten equal bins, at this share. Empty bins are left out."""
    weight = weights(labels, share)
    places = np.minimum((risks * BINS).astype(np.int64), BINS - 1)
    bins = []
    for place in range(BINS):
        inside = places == place
        if total := float(weight[inside].sum()):
            stated = float(weight[inside] @ risks[inside]) / total
            found = float(weight[inside] @ labels[inside]) / total
            bins.append(Bin(stated, found, total, int(inside.sum())))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: how far stated and found lie apart, on average over messages."""
    return math.fsum(each.weight * abs(each.stated - each.found) for each in bins)


def _logit(share: float) -> float:
    return math.log(share) - math.log1p(-share)
