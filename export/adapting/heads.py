"""Fits the linear heads on pooled vectors, calibrates them, and chooses the layer by cross-validation.

With 10 to 50 examples, the layer that looks best in cross-validation is often best by chance only, and so is
the calibration. What is known before the first example therefore counts as a prior, which many examples
outweigh (what each is worth: docs/benchmarks/labels.md):

    layer   the sum of the examples' out-of-fold log-likelihoods (their pseudo-marginal likelihood; Geisser
            and Eddy, 1979) plus a log-prior, -|layer - middle| / (layers / 10): Laplace's, around the middle
    shift   a head is fitted so that both classes weigh the same, so its own zero is about even odds: two
            examples at risk and two others at zero are added to Platt's (as to a share by Agresti and Coull,
            1998), which is about a normal prior of standard deviation 1 on the shift

A layer's likelihood is smoothed over its neighbours, which read nearly the same: a single one that stands
out among thirty is mostly luck, and thresholds set from its scores would promise too much. For the same
reason the regularisation is not chosen: 0.01 for C gained nothing over 0.001, and cost coverage.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold

from export.adapting.ordinal import fit_severity

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

STRENGTH: Final = 0.001  # scikit-learn's C
MIDDLE: Final = 0.53  # layer 16 of 30
EVEN: Final = 4.0  # how many examples the belief is worth that a head's own zero is even odds
_FOLDS: Final = 5
_SCALE: Final = 0.1  # of the depth: so far from the middle, a layer must explain the labels e times better
_NEIGHBOURS: Final = 4  # on either side, over which a layer's loss is smoothed
_FEW: Final = 200  # up to this many examples, one round of cross-validation is too noisy


class Vectors(NamedTuple):
    """Pooled vectors of every window [W, layers, H], and where each example's windows start [N]."""

    windows: NDArray[np.float32]
    starts: Ints

    def layer(self, layer: int) -> Array:
        """Each window's vector [W, H] after block `layer` (1-based)."""
        return self.windows[:, layer - 1].astype(np.float64)

    def means(self, vectors: Array) -> Array:
        """Each example's mean over its windows [N, H]. The heads are fitted on these."""
        counts = np.diff([*self.starts, len(vectors)])[:, np.newaxis]
        return np.asarray(np.add.reduceat(vectors, self.starts, axis=0) / counts, np.float64)

    def highest(self, values: Array) -> Array:
        """Each example's highest window [N]. At run time, the risk is taken from this window."""
        return np.asarray(np.maximum.reduceat(values, self.starts), np.float64)


class Linear(NamedTuple):
    """Standardises, then applies a linear function: decision = ((x - mean) / scale) @ weight + bias."""

    mean: Array
    scale: Array
    weight: Array
    bias: float

    def __call__(self, vectors: Array) -> Array:
        """The decision value of each row [N], in log-odds before calibration."""
        return np.asarray((vectors - self.mean) / self.scale @ self.weight + self.bias, np.float64)


Learn = Callable[[Array, Ints], Linear]
"""Fits a head for vectors like these of the examples [N, H], on the labels of those chosen by index alone."""

Grade = Callable[[Array, Linear], tuple[Array, Array]]
"""Fits a severity head, weight [S, H] and bias [S], for vectors [N, H] scaled as by the risk head."""


class Levels(NamedTuple):
    """Which examples have a severity, the index of each one's level, and how many levels there are."""

    graded: Ints
    levels: Ints
    all: int


class Chosen(NamedTuple):
    """Layer (1-based), the mean out-of-fold decision of each example [N], and the loss of each layer."""

    layer: int
    decisions: Array
    losses: Array


class Platt(NamedTuple):
    """Calibration of decision values: risk = sigmoid(slope * decision + shift)."""

    slope: float
    shift: float


def choose(
    vectors: Vectors, labels: Ints, progress: Callable[[int, int], None], layer: int | None = None
) -> Chosen:
    """Choose the layer by repeated stratified cross-validation on `labels` [N] (1 is at risk).

    `layer` is taken where it is given; the others are tried all the same, to tell what it costs.
    """
    layers = vectors.windows.shape[1]
    learn = from_labels(labels)
    tried: list[Array] = []
    for each in range(1, layers + 1):
        tried.append(out_of_fold(vectors, each, labels, learn))
        progress(each, layers)
    losses = np.stack([_losses(decisions, labels) for decisions in tried])
    away = np.abs(np.arange(1, layers + 1) - round(MIDDLE * layers)) / (_SCALE * layers)
    best = int(np.argmin(_smooth(losses).sum(axis=1) + away)) if layer is None else layer - 1
    return Chosen(best + 1, tried[best], losses.mean(axis=1))


def out_of_fold(
    vectors: Vectors, layer: int, labels: Ints, learn: Learn, owners: Ints | None = None
) -> Array:
    """Each text's decision value by heads fitted without its example, averaged over the repeats [R].

    The first N texts are the examples. `owners` [R] gives the example that each text belongs to, where there
    are more texts than examples.
    """
    owners = np.arange(len(labels)) if owners is None else owners
    windows = vectors.layer(layer)
    means = vectors.means(windows)[: len(labels)]
    total = np.zeros(len(owners))
    repeats = _repeats(labels)
    for train, test in _folds(labels, repeats):
        head = learn(means, train)
        unseen = np.isin(owners, test)
        total[unseen] += vectors.highest(head(windows))[unseen]
    return total / repeats


def from_labels(labels: Ints) -> Learn:
    """Heads fitted on labels alone, with C = `STRENGTH` where all of them are."""

    def learn(means: Array, chosen: Ints) -> Linear:
        # C weighs the sum over examples: raised here, or heads fitted on some examples would be flatter than
        # those fitted on all, and the thresholds taken from them too low.
        return fit_risk(means[chosen], labels[chosen], STRENGTH * len(labels) / len(chosen))

    return learn


def grade_from_labels(levels: Levels) -> Grade:
    """Severity heads fitted on the labelled examples."""
    return lambda means, risk: fit_severity(
        (means[levels.graded] - risk.mean) / risk.scale, levels.levels, levels.all
    )


def fit_risk(means: Array, labels: Ints, strength: float) -> Linear:
    """Fit a standardised logistic regression, with C = `strength`, in which both classes weigh the same."""
    mean, scale = standard(means)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    model.fit((means - mean) / scale, labels)
    return Linear(mean, scale, model.coef_[0], float(model.intercept_[0]))


def fit_platt(decisions: Array, labels: Ints, *, even: float = EVEN) -> Platt:
    """Fit Platt scaling with his smoothed targets (1999), so that separable examples give no certainty.

    `even` examples more, half of them at risk, have decision 0: the shift is drawn to 0, the less the more
    examples there are. Give 0 for scores whose own zero says nothing. The slope is never negative: heads that
    rank worse than chance give everyone the same risk.
    """
    positives = int(labels.sum())
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    spread = float(decisions.std()) or 1.0
    x = np.append(decisions / spread, 0.0)
    weights = np.append(targets, even / 2), np.append(1 - targets, even / 2)
    # For soft targets, each example appears twice, once with either class.
    model = LogisticRegression(C=1e4, max_iter=1000)
    model.fit(np.tile(x, 2)[:, np.newaxis], np.repeat([1, 0], len(x)), sample_weight=np.concatenate(weights))
    slope = float(model.coef_[0, 0]) / spread
    # A slope could come from the added examples alone, so the ranking is asked for itself.
    if slope <= 0 or (decisions - decisions.mean()) @ labels <= 0:
        return Platt(0.0, float(np.log(targets.mean() / (1 - targets.mean()))))
    return Platt(slope, float(model.intercept_[0]))


def standard(means: Array) -> tuple[Array, Array]:
    """Return mean and scale [H]; a feature that never varies keeps scale 1."""
    scale = means.std(axis=0)
    return means.mean(axis=0), np.where(scale > 1e-6 * max(float(scale.max()), 1e-30), scale, 1.0)


def _losses(decisions: Array, labels: Ints) -> Array:
    """Return the log loss of each example [N] after calibration, which makes layers comparable."""
    platt = fit_platt(decisions, labels)
    return np.asarray(np.logaddexp(0, (1 - 2 * labels) * (platt.slope * decisions + platt.shift)), np.float64)


def _smooth(losses: Array) -> Array:
    """Return each layer's losses [layers, N], averaged with its neighbours', the near ones weighing more."""
    places = np.arange(len(losses))
    weights = np.maximum(0, _NEIGHBOURS + 1 - np.abs(places[:, np.newaxis] - places))
    return np.asarray(weights @ losses / weights.sum(axis=1, keepdims=True), np.float64)


def _repeats(labels: Ints) -> int:
    return 3 if len(labels) <= _FEW else 1


def _folds(labels: Ints, repeats: int) -> Iterator[tuple[Ints, Ints]]:
    folds = min(_FOLDS, int(np.bincount(labels, minlength=2).min()))
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=0)
    return splitter.split(np.zeros(len(labels)), labels)  # type: ignore[no-any-return] # scikit-learn is untyped
