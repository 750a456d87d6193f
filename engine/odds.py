"""Log-odds, and how risks are restated in them for another share of messages at risk."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Odds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a risk is restated: its log-odds become `slope` x log-odds + `shift`.

    `mimamori calibrate` fits it, so that of the messages with a risk of 0.2 one in five is at risk, at the
    stream's own share of them. Risks keep their order, and thresholds move with them.
    """

    slope: float
    shift: float

    def __post_init__(self) -> None:
        """Refuse what would not keep the order of risks."""
        if not 0.0 < self.slope < math.inf or not math.isfinite(self.shift):
            raise ValueError("odds need a slope above 0 and a finite shift")

    @property
    def inverse(self) -> "Odds":
        """The odds that undo these."""
        return Odds(1.0 / self.slope, -self.shift / self.slope)


def restated(risks: Array, odds: Odds | None) -> Array:
    """Restate risks [N] by `odds`; None leaves them as they are. Not-a-number, 0 and 1 stay what they are."""
    return risks if odds is None else sigmoid(odds.slope * log_odds(risks) + odds.shift)


def log_odds(risks: Array) -> Array:
    """The log-odds of risks [N]; infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(risks) - np.log1p(-risks), np.float64)


def sigmoid(x: Array) -> Array:
    """The logistic function, computed without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), np.float64)
