"""How many workers KEDA and the autoscaler behind it ask for: the chart's settings, as rules without a clock.

KEDA reads the lag and says how many workers it calls for: lag / threshold, rounded up. Kubernetes' autoscaler
leaves small differences alone, takes the least (or, down, the most) that was called for within a window, and
moves by so many pods in a period.
"""

import math
from typing import Final

import msgspec

TOLERANCE: Final = 0.1  # Kubernetes' default


class Policy(msgspec.Struct, frozen=True):
    """At most so many pods, or so large a share of them, in a period: whichever is more."""

    pods: int
    period_s: float
    share: float = 0.0


class Scaling(msgspec.Struct, frozen=True):
    """The chart's `worker.autoscaling`; the defaults are its own."""

    lag_threshold: float = 2000.0
    least: int = 1
    most: int = 6
    polling_s: float = 15.0
    up: Policy = Policy(2, 60.0)
    up_window_s: float = 30.0
    down: Policy = Policy(1, 120.0)
    down_window_s: float = 600.0


class Autoscaler:
    """Remembers what was called for, and what was changed, as long as its windows ask."""

    def __init__(self, scaling: Scaling, now: int) -> None:
        """`now` is how many workers there are."""
        self._scaling = scaling
        self._called: list[tuple[float, int]] = []
        self._sizes: list[tuple[float, int]] = [(-math.inf, now)]

    def ask(self, at: float, lag: float, current: int) -> int:
        """How many workers there are to be, as of now. Times never go back."""
        scaling = self._scaling
        called = self._called_for(lag, current)
        self._called = [each for each in self._called if each[0] >= at - self._longest] + [(at, called)]
        least = min(each for then, each in self._called if then >= at - scaling.up_window_s)
        most = max(each for then, each in self._called if then >= at - scaling.down_window_s)
        wanted = min(max(current, least), most)
        if wanted > current:
            wanted = min(wanted, self._limit_up(at))
        elif wanted < current:
            wanted = max(wanted, self._limit_down(at))
        wanted = min(max(wanted, scaling.least), scaling.most)
        if wanted != current:
            self._sizes.append((at, wanted))
        return wanted

    @property
    def _longest(self) -> float:
        return max(self._scaling.up_window_s, self._scaling.down_window_s)

    def _called_for(self, lag: float, current: int) -> int:
        ratio = lag / (self._scaling.lag_threshold * max(current, 1))
        if abs(ratio - 1) <= TOLERANCE:
            return current
        return min(max(math.ceil(lag / self._scaling.lag_threshold), self._scaling.least), self._scaling.most)

    def _limit_up(self, at: float) -> int:
        policy = self._scaling.up
        began = self._size_at(at - policy.period_s)
        return max(began + policy.pods, math.ceil(began * (1 + policy.share)))

    def _limit_down(self, at: float) -> int:
        policy = self._scaling.down
        began = self._size_at(at - policy.period_s)
        return min(began - policy.pods, math.floor(began * (1 - policy.share)))

    def _size_at(self, at: float) -> int:
        return next(size for then, size in reversed(self._sizes) if then <= at)
