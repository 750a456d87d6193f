"""How well severity heads grade messages: the ordinal head of `mimamori adapt` against others.

    python -m bench.severity GRADED [--labels 25 50 200] [--splits 10] [--seed 1]

GRADED is JSONL with `text` and `severity`; only rows with one of the task's levels count. Each split draws
so many of them as they come, and grades all others. All heads read one layer's pooled vectors, standardised
by the examples drawn, and of each the most probable level counts:

    softmax             free weights for every level; levels weigh as often as they come (the head until now)
    softmax, balanced   the same; all levels weigh the same
    proportional odds   the cumulative model: one direction, and a threshold between neighbours; balanced
    ordinal             adjacent categories (export/adapting/ordinal.py); balanced

QWK is Cohen's kappa with quadratic weights, MAE the mean of levels off, "highest" the recall of the highest
level, and "order" Spearman's correlation of the expected level with the true one. Means over the splits.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from threadpoolctl import threadpool_limits

from bench.yardstick.bundles import full_bundle
from engine.load import open_reader
from engine.odds import sigmoid
from engine.reading.engines import softmax
from export.adapting.heads import Array, Ints, Vectors, standard
from export.adapting.ordinal import STRENGTH, fit_severity
from export.adapting.windowing import UNCUT, read_windows

Grade = Callable[[Array], Array]
"""Probabilities [N, S] of standardised vectors [N, H]."""
FREE = 0.001  # the head until now took the risk head's C, which is this for most examples


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graded", type=Path, help="JSONL with text and severity")
    parser.add_argument("--bundle", type=Path, help="a full bundle; default: the task stress is built")
    parser.add_argument("--layer", type=int, help="default: the middle one")
    parser.add_argument("--labels", type=int, nargs="*", default=[25, 50, 200])
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    full = full_bundle(options.bundle)
    names = full.manifest.task.level_names
    rows = [json.loads(line) for line in options.graded.read_text().splitlines() if line.strip()]
    rows = [row for row in rows if row.get("severity") in names]
    levels = np.array([names.index(row["severity"]) for row in rows], np.int64)
    read = read_windows(open_reader(full, "pooled"), [row["text"] for row in rows], UNCUT)
    vectors = Vectors(read.windows.astype(np.float32), read.starts)
    layer = options.layer or round(0.53 * full.manifest.source.layers)
    means = vectors.means(vectors.layer(layer))
    counts = ", ".join(f"{count} {name}" for name, count in zip(names, np.bincount(levels), strict=True))
    print(f"{len(rows)} messages ({counts}), layer {layer}; {options.splits} splits, seed {options.seed}")
    print("\n| labels | head | QWK | MAE | highest | order |\n|---|---|---|---|---|---|")
    with threadpool_limits(1, "blas"):
        for labels in options.labels:
            measure(means, levels, labels, options.splits, options.seed)


def measure(means: Array, levels: Ints, labels: int, splits: int, seed: int) -> None:
    """Print one row a head, for so many labels."""
    chance, top = np.random.default_rng(seed), int(levels.max())
    heads: dict[str, Callable[[Array, Ints, int], Grade]] = {
        "softmax": partial(free, balanced=False, strength=FREE),
        "softmax, balanced": partial(free, balanced=True, strength=STRENGTH),
        "proportional odds": cumulative,
        "ordinal": ordinal,
    }
    figures: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for _ in range(splits):
        order = chance.permutation(len(levels))
        train, test = order[:labels], order[labels:]
        mean, scale = standard(means[train])
        for name, fit in heads.items():
            shares = fit((means[train] - mean) / scale, levels[train], top + 1)((means[test] - mean) / scale)
            said, true = shares.argmax(axis=1), levels[test]
            kappa = cohen_kappa_score(true, said, labels=range(top + 1), weights="quadratic")
            rank = spearmanr(shares @ np.arange(top + 1), true)[0]
            figures[name].append(
                (kappa, float(np.abs(true - said).mean()), float((said[true == top] == top).mean()), rank)
            )
    for name, each in figures.items():
        cells = " | ".join(f"{figure:.3f}" for figure in np.mean(each, axis=0))
        print(f"| {labels} | {name} | {cells} |", flush=True)


def ordinal(z: Array, levels: Ints, count: int) -> Grade:
    """The head that `mimamori adapt` fits."""
    weight, bias = fit_severity(z, levels, count)
    return lambda vectors: softmax(vectors @ weight.T + bias)


def free(z: Array, levels: Ints, count: int, *, balanced: bool, strength: float) -> Grade:
    """A multinomial logistic regression, with one artificial example per level at the origin."""
    z, levels = np.vstack([z, np.zeros((count, z.shape[1]))]), np.append(levels, np.arange(count))
    model = LogisticRegression(C=strength, max_iter=1000, class_weight="balanced" if balanced else None)
    model.fit(z, levels)
    return lambda vectors: np.asarray(model.predict_proba(vectors), np.float64)


def cumulative(z: Array, levels: Ints, count: int) -> Grade:
    """Proportional odds: P(level <= k) = sigmoid(threshold k - weight . z), thresholds in order."""
    basis = np.linalg.svd(z, full_matrices=False)[2]
    seen = np.vstack([z @ basis.T, np.zeros((count, len(basis)))])
    true = np.append(levels, np.arange(count))
    shares = len(true) / (count * np.bincount(true, minlength=count))[true]
    every, width = np.arange(len(true)), len(basis)

    def bounds(steps: Array) -> Array:
        return np.asarray(np.cumsum(np.append(steps[0], np.exp(steps[1:]))), np.float64)

    def below(vectors: Array, weight: Array, steps: Array) -> Array:
        inner = sigmoid(bounds(steps) - (vectors @ weight)[:, np.newaxis])
        return np.column_stack([np.zeros(len(vectors)), inner, np.ones(len(vectors))])

    def loss(parameters: Array) -> tuple[float, Array]:
        weight, steps = parameters[:width], parameters[width:]
        cut = below(seen, weight, steps)
        likely = np.maximum(cut[every, true + 1] - cut[every, true], 1e-12)
        slope = cut * (1 - cut) * (shares / likely)[:, np.newaxis]
        rise, fall = slope[every, true + 1], slope[every, true]
        each = np.array([fall[true == k + 1].sum() - rise[true == k].sum() for k in range(count - 1)])
        tails = np.cumsum(each[::-1])[::-1] * np.append(1.0, np.exp(steps[1:]))
        value = -shares @ np.log(likely) + weight @ weight / (2 * STRENGTH)
        return float(value), np.append(seen.T @ (rise - fall) + weight / STRENGTH, tails)

    start = np.append(np.zeros(width), [-1.0, *np.zeros(count - 2)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    weight: NDArray[np.float64] = basis.T @ found[:width]
    return lambda vectors: np.asarray(np.diff(below(vectors, weight, found[width:]), axis=1), np.float64)


if __name__ == "__main__":
    main()
