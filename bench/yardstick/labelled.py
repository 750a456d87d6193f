"""Reads labelled messages, splits them at random, and computes the F1 that a few labels give."""

import json
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LABELS = 25
# The most positives of a file, and the most negatives of a file without positives.
_MOST = {True: 700, False: 400}

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Texts, with a label of 1 for at risk."""

    texts: list[str]
    labels: Ints


def read_labelled(paths: Sequence[Path]) -> Labelled:
    """Read JSONL files with `text` and `at_risk` (or `stressor`). A file with neither holds negatives.

    A kind that is too large is reduced at random, so that it does not dominate the result.
    """
    chance = random.Random(0)
    chosen: list[tuple[str, bool]] = []
    for path in paths:
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        found = [
            (str(line["text"]), bool(line.get("at_risk", line.get("stressor", False)))) for line in lines
        ]
        positives = [pair for pair in found if pair[1]]
        negatives = [pair for pair in found if not pair[1]]
        chosen += chance.sample(positives, min(len(positives), _MOST[True]))
        chosen += chance.sample(negatives, min(len(negatives), _MOST[False]))
    chance.shuffle(chosen)
    return Labelled([text for text, _ in chosen], np.array([label for _, label in chosen], np.int64))


def splits(labels: Ints, count: int, size: int = LABELS, seed: int = 0) -> list[tuple[Ints, Ints]]:
    """`count` random splits: `size` labelled messages, half of them positive, and all others to test on."""
    chance = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        half = chance.choice(np.flatnonzero(labels == 1), (size + 1) // 2, replace=False)
        other = chance.choice(np.flatnonzero(labels == 0), size // 2, replace=False)
        train = chance.permutation(np.concatenate([half, other]))
        drawn.append((train, np.setdiff1d(np.arange(len(labels)), train)))
    return drawn


def fitted(features: Floats, labels: Ints, drawn: list[tuple[Ints, Ints]]) -> list[float]:
    """F1 of a standardised logistic regression (C = 0.01) on each split."""
    return [
        f1_score(
            labels[test],
            make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
            .fit(features[train], labels[train])
            .predict(features[test]),
        )
        for train, test in drawn
    ]


def words(texts: list[str], labels: Ints, drawn: list[tuple[Ints, Ints]]) -> list[float]:
    """F1 of TF-IDF and logistic regression, with the vocabulary of the few labelled messages."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - needed only here

    scores = []
    for train, test in drawn:
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10)
        )
        model.fit([texts[index] for index in train], labels[train])
        scores.append(f1_score(labels[test], model.predict([texts[index] for index in test])))
    return scores


def thresholded(margins: Floats, labels: Ints, train: Ints, test: Ints) -> float:
    """F1 at the threshold that gave the best F1 on the labelled messages."""
    steps = np.sort(margins[train])
    middles = np.concatenate([[steps[0] - 1], (steps[1:] + steps[:-1]) / 2, [steps[-1] + 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without any positive prediction, F1 is 0
        best = max(middles, key=lambda middle: f1_score(labels[train], margins[train] >= middle))
        return float(f1_score(labels[test], margins[test] >= best))


def summary(rate: float, scores: Sequence[float], note: str) -> dict[str, float | int | str]:
    """One row of the table."""
    return {
        "rate": round(rate, 1),
        "f1_25": round(float(np.mean(scores)), 3),
        "f1_sd": round(float(np.std(scores)), 3),
        "splits": len(scores),
        "note": note,
    }


Say = Callable[[str], None]
