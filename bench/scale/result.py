"""What a simulation has seen: how long messages waited, and what the fleet looked like meanwhile."""

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

SHORTEST_S: Final = 1e-4
_PER_DECADE: Final = 100  # a bucket is 2.3 % wide
_BUCKETS: Final = 9 * _PER_DECADE


class Waits:
    """Waiting times with their weights, in logarithmic buckets; the mean is kept exactly."""

    def __init__(self) -> None:
        self._weights: NDArray[np.float64] = np.zeros(_BUCKETS)
        self._sum = 0.0

    def note(self, seconds: float, weight: float = 1.0) -> None:
        """Note that so many messages waited so long."""
        place = int(_PER_DECADE * math.log10(max(seconds, SHORTEST_S) / SHORTEST_S))
        self._weights[min(place, _BUCKETS - 1)] += weight
        self._sum += seconds * weight

    @property
    def count(self) -> float:
        """How many messages."""
        return float(self._weights.sum())

    @property
    def mean(self) -> float:
        """In seconds; not a number where there was none."""
        return self._sum / self.count if self.count else math.nan

    def quantile(self, share: float) -> float:
        """Seconds that `share` of the messages waited at most: exact to 2.3 %."""
        if not self.count:
            return math.nan
        place = int(np.cumsum(self._weights).searchsorted(share * self.count))
        return SHORTEST_S * float(10 ** ((place + 1) / _PER_DECADE))


class Look(msgspec.Struct, frozen=True):
    """The fleet at one moment: messages that wait or are read, workers, the share of them that is busy."""

    at: float
    lag: int
    workers: int
    busy: float


class Outcome(msgspec.Struct, frozen=True):
    """A simulation's result. `read_twice`: messages whose first reading a dead worker took with it."""

    messages: int
    labelled: int
    p50: float
    p99: float
    worst_lag: int
    most_workers: int
    utilisation: float  # of the workers' time, the mean
    read_twice: int
    rebalances: int
    looks: tuple[Look, ...]

    def calm_after(self, at: float, lag: float) -> float:
        """Seconds from `at` until the lag stays at or below this; infinite if it never does."""
        late = [look.at for look in self.looks if look.lag > lag and look.at >= at]
        if late and late[-1] >= self.looks[-1].at:
            return math.inf
        return max(late, default=at) - at
