"""Logistic regression on a few labelled examples, as every baseline that is fitted uses it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from engine.errors import TaskError
from export.examples import LabelledExample

FEWEST: Final = 2  # one of each kind
_FOLDS: Final = 5

Labels = NDArray[np.int64]
Array = NDArray[np.float64]


class Learnt(NamedTuple):
    """A scikit-learn transformer and a classifier, both fitted."""

    features: Any
    classifier: Any

    def risks(self, given: Any) -> Array:
        """The probability [N] of being at risk."""
        return np.asarray(self.classifier.predict_proba(self.features.transform(given))[:, 1], np.float64)


def fit_logistic(features: Any, given: Any, labels: Labels, strengths: Sequence[float], seed: int) -> Learnt:
    """Fit the transformer `features` and a balanced logistic regression on `given`, an array of N examples.

    `strengths` are values of C, smallest first. The smallest is taken whose log loss in five-fold
    cross-validation is within one standard error of the best: with few examples the best of many is often
    best by chance (measured: a point of F1 worse than always the smallest). It is also taken where a kind has
    one example only.
    """
    folds = min(_FOLDS, int(np.bincount(labels, minlength=2).min()))
    # The matrices are so small that several threads of the linear algebra library only wait for one another.
    with threadpool_limits(1, "blas"):
        chosen = 0
        if folds > 1:
            splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
            losses = np.array([_losses(features, given, labels, strengths, *each) for each in splits])
            means, error = losses.mean(axis=0), losses.std(axis=0) / folds**0.5
            best = int(np.argmin(means))
            chosen = int(np.argmax(means <= means[best] + error[best]))
        return _fit(features, given, labels, strengths[chosen])


def _losses(
    features: Any, given: Any, labels: Labels, strengths: Sequence[float], train: Labels, test: Labels
) -> list[float]:
    """The log loss on `test` of what each strength learns from `train`."""
    inner = features.fit(given[train])
    seen, unseen = inner.transform(given[train]), inner.transform(given[test])
    return [
        float(
            log_loss(
                labels[test], _classifier(each).fit(seen, labels[train]).predict_proba(unseen), labels=[0, 1]
            )
        )
        for each in strengths
    ]


def _fit(features: Any, given: Any, labels: Labels, strength: float) -> Learnt:
    fitted = features.fit(given)
    return Learnt(fitted, _classifier(strength).fit(fitted.transform(given), labels))


def _classifier(strength: float) -> Any:
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)


def labels_of(name: str, examples: Sequence[LabelledExample]) -> Labels:
    """1 for at risk [N]. Raises TaskError: a kind is missing."""
    labels = np.array([example.at_risk for example in examples], np.int64)
    positives = int(labels.sum())
    if not 0 < positives < len(labels):
        raise TaskError(
            f"{name} needs at least one labelled example at risk and one not: "
            f"there are {positives} and {len(labels) - positives}"
        )
    return labels
