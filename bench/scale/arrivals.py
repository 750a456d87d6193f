"""When messages arrive, partition by partition: drawn from a seed, or as they really were sent.

The simulation asks two things: how many messages a partition has had by a time, and when its n-th one came.
For a few thousand messages a second every arrival is a number of its own; beyond, they are counts in steps.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

DAY_S: Final = 86_400.0

Rate = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # messages a second, at times in seconds


class Arrivals(Protocol):
    """The messages of each partition, from 0 s to `seconds`."""

    partitions: int
    seconds: float

    def by(self, partition: int, at: float) -> int:
        """How many messages have come by then."""
        ...

    def when(self, partition: int, number: int) -> float:
        """When the message of this number came, counted from 1; infinite if it never does."""
        ...

    def total(self) -> int:
        """How many come in all."""
        ...


class Exact:
    """Every arrival by itself."""

    def __init__(self, times: Sequence[NDArray[np.float64]], seconds: float) -> None:
        """`times` are those of each partition, in order."""
        self.partitions = len(times)
        self.seconds = seconds
        self._times = times

    def by(self, partition: int, at: float) -> int:
        """See Arrivals."""
        return int(self._times[partition].searchsorted(at, side="right"))

    def when(self, partition: int, number: int) -> float:
        """See Arrivals."""
        times = self._times[partition]
        return float(times[number - 1]) if number <= len(times) else np.inf

    def total(self) -> int:
        """See Arrivals."""
        return sum(map(len, self._times))


class Counted:
    """Counts of each partition in steps of time; within a step, messages come evenly."""

    def __init__(self, counts: NDArray[np.int64], step_s: float) -> None:
        """`counts` of each partition and step."""
        self.partitions, steps = counts.shape
        self.seconds = steps * step_s
        self._step_s = step_s
        self._sums = np.zeros((self.partitions, steps + 1), dtype=np.int64)
        np.cumsum(counts, axis=1, out=self._sums[:, 1:])

    def by(self, partition: int, at: float) -> int:
        """See Arrivals."""
        sums = self._sums[partition]
        step, part = divmod(at / self._step_s, 1.0)
        if step >= len(sums) - 1:
            return int(sums[-1])
        before = int(sums[int(step)])
        return before + int(part * (int(sums[int(step) + 1]) - before))

    def when(self, partition: int, number: int) -> float:
        """See Arrivals."""
        sums = self._sums[partition]
        step = int(sums.searchsorted(number))
        if step >= len(sums):
            return np.inf
        before, after = int(sums[step - 1]), int(sums[step])
        return (step - 1 + (number - before) / (after - before)) * self._step_s

    def total(self) -> int:
        """See Arrivals."""
        return int(self._sums[:, -1].sum())


class Burst(msgspec.Struct, frozen=True):
    """From `at` on, for so many seconds, so many times as many messages."""

    at: float
    seconds: float
    times: float


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform sends. `rate` is the mean at the start, in messages a second.

    `day` is the swing of the day: the peak is at 1 + day times the mean, `day_s` is how long a day lasts (a
    short one shows the same in less time). `flurry` is how many messages a conversation sends in a row, on
    average: they go to one partition together. `hot` is a conversation's messages a second, from `hot_at` on.
    """

    rate: float
    seconds: float
    day: float = 0.0
    day_s: float = DAY_S
    bursts: tuple[Burst, ...] = ()
    flurry: float = 1.0
    hot: float = 0.0
    hot_at: float = 0.0

    def at(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Messages a second, the hot conversation's left out."""
        rate = self.rate * (1 + self.day * np.sin(2 * np.pi * times / self.day_s))
        for burst in self.bursts:
            rate = rate * np.where((times >= burst.at) & (times < burst.at + burst.seconds), burst.times, 1.0)
        return rate


def counted(traffic: Traffic, partitions: int, seed: int, step_s: float = 0.1) -> Counted:
    """Draw counts: Poisson flurries, of geometric lengths, spread evenly over the partitions."""
    chance = np.random.default_rng(seed)
    steps = round(traffic.seconds / step_s)
    middles = (np.arange(steps, dtype=np.float64) + 0.5) * np.float64(step_s)
    rate = traffic.at(middles) * step_s / partitions / traffic.flurry
    flurries = chance.poisson(np.broadcast_to(rate, (partitions, steps)))
    counts = flurries
    if traffic.flurry > 1:  # the sum of n geometric lengths, each 1 at least
        more = chance.negative_binomial(np.maximum(flurries, 1), 1 / traffic.flurry)
        counts = np.where(flurries > 0, flurries + more, 0)
    if traffic.hot:
        counts[0] += chance.poisson(np.where(middles >= traffic.hot_at, traffic.hot * step_s, 0.0))
    return Counted(counts.astype(np.int64), step_s)


def exact(traffic: Traffic, partitions: int, seed: int) -> Exact:
    """Draw every arrival: the counts of small steps, at random times within them."""
    step_s = 0.01
    grid = counted(traffic, partitions, seed, step_s)
    chance = np.random.default_rng((seed, 1))
    steps = round(traffic.seconds / step_s)
    times = []
    for partition in range(partitions):
        counts = np.diff([grid.by(partition, step * step_s + 1e-9) for step in range(steps + 1)])
        begins = np.repeat(np.arange(steps) * step_s, counts)
        times.append(np.sort(begins + chance.random(len(begins)) * step_s))
    return Exact(times, traffic.seconds)
