"""TF-IDF of words and letters with logistic regression: what needs no model at all."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union

from engine.errors import TaskError
from export.baselines.logistic import FEWEST, fit_logistic, labels_of
from export.examples import LabelledExample

_STRENGTHS: Final = (0.3, 3.0, 30.0)
_BATCH: Final = 256


class WordsWay:
    """Fitted on the examples alone: words, pairs of words, and groups of 3 to 5 letters within words."""

    name: Final = "TF-IDF + logistic regression"
    fewest: Final = FEWEST

    def __init__(self, seed: int = 0) -> None:
        """`seed` draws the folds of cross-validation."""
        self._seed = seed
        self.messages_per_second: float | None = None

    def risks(
        self, examples: Sequence[LabelledExample], texts: Sequence[str], count: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """See Way.risks. Raises TaskError: a kind of example is missing, or the examples hold no letters."""
        labels = labels_of(self.name, examples)
        features = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),  # noqa: S106
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
        )
        try:
            fitted = fit_logistic(
                features, np.array([each.text for each in examples], object), labels, _STRENGTHS, self._seed
            )
        except ValueError:  # scikit-learn's, for an empty vocabulary
            raise TaskError(
                f"{self.name} found no words in the labelled examples: give examples of messages with words"
            ) from None
        began = time.perf_counter()
        risks = np.empty(len(texts))
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            risks[start : start + _BATCH] = fitted.risks(batch)
            count(len(batch))
        self.messages_per_second = len(texts) / max(time.perf_counter() - began, 1e-9)
        return risks
