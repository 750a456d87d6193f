"""How well risks tell messages at risk from others: F1, balanced accuracy, precision, recall, AUC."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.evaluating.intervals import Interval, Weights, bootstrap, share

Labels = NDArray[np.int64]
Risks = NDArray[np.float64]
Flags = NDArray[np.bool_]

EVEN_ODDS: Final = 0.5


class Flagging(msgspec.Struct, frozen=True):
    """How well one rule for calling a message positive finds the messages at risk.

    `precision` is of the called, `recall` of those at risk, `balanced_accuracy` the mean of both classes'
    shares of right calls. The intervals of precision and recall are exact, the others bootstrapped; they are
    None where a class is missing.
    """

    precision: float
    recall: float
    f1: float
    balanced_accuracy: float | None = None
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None
    f1_interval: Interval | None = None
    balanced_accuracy_interval: Interval | None = None


def answered(risks: Risks) -> Risks:
    """The risks [N], where one that is not a number is 1: nobody screened that message, so a person does."""
    return np.where(np.isfinite(risks), risks, 1.0)


def flagging(labels: Labels, flagged: Flags, seed: int = 0) -> Flagging:
    """How well the rule that flagged these examples [N] does. What has nothing to count is 0."""
    right = int((flagged & (labels == 1)).sum())
    called, positives = int(flagged.sum()), int(labels.sum())
    ones = np.ones((1, len(labels)), np.int64)
    f1, balanced = _f1_and_balanced(ones, labels, flagged)[0]
    precision = right / called if called else 0.0
    recall = right / positives if positives else 0.0
    if positives in {0, len(labels)}:
        return Flagging(precision, recall, float(f1))
    of_f1, of_balanced = bootstrap(
        labels, lambda weights: _f1_and_balanced(weights, labels, flagged), seed=seed
    )
    return Flagging(
        precision,
        recall,
        float(f1),
        float(balanced),
        share(right, called),
        share(right, positives),
        of_f1,
        of_balanced,
    )


def area(labels: Labels, risks: Risks, seed: int = 0) -> tuple[float, Interval] | None:
    """The area under the ROC curve and its interval; None where a class is missing.

    It is the share of pairs, one at risk and one not, in which the one at risk has the higher risk; a tie
    counts half.
    """
    if int(labels.sum()) in {0, len(labels)}:
        return None
    _, place = np.unique(risks, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    at_risk = labels[order] == 1

    def areas(weights: Weights) -> NDArray[np.float64]:
        sorted_ = weights[:, order]
        positive = np.add.reduceat(np.where(at_risk, sorted_, 0), starts, axis=1).astype(np.float64)
        negative = np.add.reduceat(np.where(at_risk, 0, sorted_), starts, axis=1).astype(np.float64)
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.asarray((positive * below).sum(axis=1) / pairs, np.float64)

    (interval,) = bootstrap(labels, areas, seed=seed)
    return float(areas(np.ones((1, len(labels)), np.int64))[0]), interval


def backwards(auc: float, interval: Interval) -> str | None:
    """What a reader must know of risks that rank worse than chance on these examples; None of others."""
    if auc >= EVEN_ODDS:
        return None
    surely = "worse than chance" if interval.high < EVEN_ODDS else "no better than chance"
    return (
        f"AUC {auc:.3f} ({interval.low:.3f} to {interval.high:.3f}): these risks rank messages {surely}, "
        "and no threshold can help. Check which label is which; adapt a full bundle on 10 examples or more."
    )


def _f1_and_balanced(weights: Weights, labels: Labels, flagged: Flags) -> NDArray[np.float64]:
    """F1 and balanced accuracy of each resample: [R, 2]. The latter is NaN where a class is missing."""
    kinds = np.stack([labels & flagged, labels & ~flagged, (1 - labels) & flagged, (1 - labels) & ~flagged])
    found, missed, alarms, quiet = (weights @ kinds.T).T.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(found > 0, 2 * found / (2 * found + missed + alarms), 0.0)
        balanced = (found / (found + missed) + quiet / (quiet + alarms)) / 2
    return np.stack([f1, balanced], axis=1)
