"""Fits the severity head: levels have an order, and the head knows it.

Adjacent categories: each step from a level to the next has the same log-odds ratio, one direction in the
vector's space. Such a head is a softmax whose levels' weights are one vector times evenly spaced ranks, so
`heads.npz`, the engine and a student read it like any other. Its quadratic weighted kappa is higher than that
of a softmax with free weights. Proportional odds comes near, with a smaller error and a lower recall of the
highest level, and is no softmax (`bench/severity.py`, docs/benchmarks/labels.md).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

STRENGTH: Final = 0.01
"""As scikit-learn's C: of the direction that leads from the middle level to the highest."""


def fit_severity(z: Array, levels: Ints, count: int, strength: float = STRENGTH) -> tuple[Array, Array]:
    """Fit weight [S, H] and bias [S] on standardised vectors [N, H].

    `levels` [N] are indices of the S = `count` levels, the least severe first. All levels weigh the same,
    however many examples each has: nearly all examples are of one level, and a head that never says another
    would be right most often. One artificial example per level is added at the origin (the mean message):
    with few examples this pulls towards even odds, and a level without any example keeps a small probability
    instead of none.
    """
    ranks = np.linspace(-1.0, 1.0, count)
    # The weight is a sum of examples: it is looked for in the space that they span, which is much smaller.
    basis = np.linalg.svd(z, full_matrices=False)[2] if len(z) else np.zeros((0, z.shape[1]))
    seen = np.vstack([z @ basis.T, np.zeros((count, len(basis)))])
    true = np.append(levels, np.arange(count))
    shares = len(true) / (count * np.bincount(true, minlength=count))[true]
    wanted = np.eye(count)[true]

    def loss(parameters: Array) -> tuple[float, Array]:
        weight, bias = parameters[: len(basis)], parameters[len(basis) :]
        logits = np.outer(seen @ weight, ranks) + bias
        logits -= logits.max(axis=1, keepdims=True)
        total = np.exp(logits).sum(axis=1)
        off = (np.exp(logits) / total[:, np.newaxis] - wanted) * shares[:, np.newaxis]
        value = shares @ (np.log(total) - logits[wanted == 1]) + weight @ weight / (2 * strength)
        return float(value), np.append(seen.T @ (off @ ranks) + weight / strength, off.sum(axis=0))

    found = minimize(loss, np.zeros(len(basis) + count), jac=True, method="L-BFGS-B", tol=1e-9)
    direction = basis.T @ found.x[: len(basis)]
    return np.outer(ranks, direction), np.asarray(found.x[len(basis) :], np.float64)
