"""Logistic regression on a few labelled examples, as every baseline that is fitted uses it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from engine.errors import TaskError
from export.examples import LabelledExample

FEWEST: Final = 2  # one of each kind
_FOLDS: Final = 5

Labels = NDArray[np.int64]


def fit_logistic(
    features: BaseEstimator, given: Any, labels: Labels, strengths: Sequence[float], seed: int
) -> Any:
    """Fit `features` and a balanced logistic regression on `given` [N, …] and return the pipeline.

    `strengths` are values of C, smallest first. The smallest is taken whose log loss in five-fold
    cross-validation is within one standard error of the best: with few examples the best of many is often
    best by chance (measured: a point of F1 worse than always the smallest). It is also taken where a kind has
    one example only.
    """
    pipeline = make_pipeline(features, LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = min(_FOLDS, int(np.bincount(labels, minlength=2).min()))
    # The matrices are so small that several threads of the linear algebra library only wait for one another.
    with threadpool_limits(1, "blas"):
        if folds == 1:
            return pipeline.set_params(logisticregression__C=strengths[0]).fit(given, labels)
        search = GridSearchCV(
            pipeline,
            {"logisticregression__C": list(strengths)},
            scoring="neg_log_loss",
            refit=partial(_within_one_error, folds=folds),
            cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
        )
        return search.fit(given, labels).best_estimator_


def _within_one_error(results: Mapping[str, Any], folds: int) -> int:
    means, deviations = results["mean_test_score"], results["std_test_score"]
    best = int(np.argmax(means))
    return int(np.argmax(means >= means[best] - deviations[best] / folds**0.5))


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
