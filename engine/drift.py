"""Drift: how far a stream has moved from the one that a bundle was made for. Pure counting.

Some things are noted of each message (its risk, its length, whether it was truncated, …) and counted in bins
that are fixed once. Two counts are compared by the population stability index, PSI:

    PSI = sum over bins of (p - q) ln(p / q)

It is 0 for equal shares and the same in both directions. By custom, below 0.1 a population counts as stable,
from 0.25 on as shifted (Siddiqi, Credit Risk Scorecards, 2006, ch. 7). By chance alone two samples of n and m
differ by about (bins - 1)(1/n + 1/m) (Yurdakul and Naranjo, J. Risk Model Validation 14:3, 2020). Half a
message is added to each bin of both, so that an empty bin does not make it infinite.

PSI takes hardly any note of what is rare: were one message in a thousand truncated, and now one in fifty, it
would be 0.05. So a yes-or-no signal counts as moved as well where its share has doubled or halved, and chance
does not explain it.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

SignalName = Literal["risk", "windows", "characters", "truncated", "unsupported_language", "obfuscated"]
Movement = Literal["too few", "stable", "moderate", "shifted"]
SIGNALS: Final[tuple[SignalName, ...]] = get_args(SignalName)
FLAGS: Final[frozenset[SignalName]] = frozenset({"truncated", "unsupported_language", "obfuscated"})

FEWEST: Final = 500  # messages on each side, below which nothing is concluded
MODERATE: Final = 0.1
SHIFTED: Final = 0.25
BINS: Final = 10  # of risks and characters, with about as many messages each when they are fixed
WINDOWS: Final = (1.0, 2.0, 4.0, 8.0)
_FLAG: Final = (0.0,)
_DOUBLED: Final = 2.0
_SURE: Final = 4.0  # standard errors

Count = Annotated[int, msgspec.Meta(ge=0)]
Values = Sequence[float] | NDArray[np.float64]


class Noted(NamedTuple):
    """What is noted of one message; `characters` is None where its text is not at hand."""

    risk: float
    windows: int
    truncated: bool
    unsupported_language: bool
    obfuscated: bool
    characters: int | None = None


class Batched(NamedTuple):
    """What is noted of many messages: a value of each, or of a yes-or-no signal for how many it is true."""

    messages: int
    values: Mapping[SignalName, Values]
    true: Mapping[SignalName, int]

    def in_bins(self, name: SignalName, edges: tuple[float, ...]) -> NDArray[np.int64]:
        """How many of the messages are in each bin of a signal."""
        if name in self.values:
            return in_bins(self.values[name], edges)
        counts = np.zeros(len(edges) + 1, np.int64)
        for value, number in ((0.0, self.messages - self.true[name]), (1.0, self.true[name])):
            counts[bisect_left(edges, value)] += number
        return counts


def joined(batches: Sequence[Batched]) -> Batched:
    """The same of several batches' messages."""
    first = batches[0]
    return Batched(
        sum(batch.messages for batch in batches),
        {name: np.concatenate([batch.values[name] for batch in batches]) for name in first.values},
        {name: sum(batch.true[name] for batch in batches) for name in first.true},
    )


class Binned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages are in each bin. Bin i holds values up to `edges[i]` and above the one before it.

    The last bin has no upper edge, so that there is one count more than there are edges.
    """

    edges: tuple[float, ...]
    counts: tuple[Count, ...]

    def __post_init__(self) -> None:
        """Refuse edges that do not rise, and counts that do not fit them."""
        rising = all(low < high for low, high in zip(self.edges, self.edges[1:], strict=False))
        if not rising or not all(map(math.isfinite, self.edges)):
            raise ValueError("edges of bins must rise, and be finite")
        if len(self.counts) != len(self.edges) + 1 or not sum(self.counts):
            raise ValueError("bins need one count more than edges, and a message")


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The messages that a bundle was made for, in bins: numbers only. `messages` is how many there were."""

    messages: Annotated[int, msgspec.Meta(ge=1)]
    signals: dict[SignalName, Binned]


class Moved(msgspec.Struct, frozen=True):
    """One signal, then and now. `by_chance` is the PSI that chance alone gives on average.

    `share_then` and `share_now` are those of the messages for which a yes-or-no signal is true.
    """

    signal: SignalName
    psi: float
    by_chance: float
    movement: Movement
    share_then: float | None = None
    share_now: float | None = None


def expect(messages: Sequence[Noted]) -> Expected:
    """Fix the bins by these messages: those of risk and characters by their quantiles."""
    signals = {}
    for name in SIGNALS:
        values = _values(messages, name)
        if len(values):
            signals[name] = _count(values, _edges(name, values))
    return Expected(len(messages), signals)


def restated(expected: Expected, restate: Callable[[float], float]) -> Expected:
    """What is expected, where risks are said otherwise: `restate` gives a risk its new value, in order.

    Edges that become the same number fall together, with the counts of the bins between them.
    """
    risk = expected.signals.get("risk")
    if risk is None:
        return expected
    edges: list[float] = []
    counts = [risk.counts[0]]
    for edge, number in zip(map(restate, risk.edges), risk.counts[1:], strict=True):
        if edges and edge <= edges[-1]:
            counts[-1] += number
        else:
            edges.append(edge)
            counts.append(number)
    signals = {**expected.signals, "risk": Binned(tuple(edges), tuple(counts))}
    return msgspec.structs.replace(expected, signals=signals)


def in_bins(values: Values, edges: tuple[float, ...]) -> NDArray[np.int64]:
    """How many of `values` are in each bin. One that is not a number counts as the largest."""
    places = np.searchsorted(edges, values)  # the first edge that is not below the value
    return np.bincount(places, minlength=len(edges) + 1)


def count(messages: Sequence[Noted], bins: Mapping[SignalName, Sequence[float]]) -> dict[SignalName, Binned]:
    """Count messages in bins with these edges; signals that none of them has are left out."""
    found = {}
    for name, edges in bins.items():
        values = _values(messages, name)
        if len(values):
            found[name] = _count(values, tuple(edges))
    return found


def compare(then: Mapping[SignalName, Binned], now: Mapping[SignalName, Binned]) -> list[Moved]:
    """Compare the signals that both have, in the order of SIGNALS. Their bins must be the same."""
    return [_moved(name, then[name], now[name]) for name in SIGNALS if name in then and name in now]


def psi(one: Sequence[int], other: Sequence[int]) -> float:
    """The population stability index of two counts in the same bins. See the module's docstring."""
    p, q = (np.asarray(counts, np.float64) + 0.5 for counts in (one, other))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((p - q) * np.log(p / q)))


def _moved(name: SignalName, then: Binned, now: Binned) -> Moved:
    if then.edges != now.edges:
        raise ValueError(f"the bins of {name} differ")
    before, after = sum(then.counts), sum(now.counts)
    value = psi(then.counts, now.counts)
    movement: Movement = "shifted" if value >= SHIFTED else "moderate" if value >= MODERATE else "stable"
    shares = (then.counts[1] / before, now.counts[1] / after) if name in FLAGS else (None, None)
    if shares[0] is not None and shares[1] is not None and movement == "stable":
        movement = "moderate" if _doubled(shares[0], before, shares[1], after) else "stable"
    if min(before, after) < FEWEST:
        movement = "too few"
    return Moved(name, value, (len(then.counts) - 1) * (1 / before + 1 / after), movement, *shares)


def _doubled(then: float, before: int, now: float, after: int) -> bool:
    pooled = (then * before + now * after) / (before + after)
    error = math.sqrt(pooled * (1 - pooled) * (1 / before + 1 / after))
    return abs(now - then) > _SURE * error and max(then, now) >= _DOUBLED * min(then, now)


def _values(messages: Iterable[Noted], name: SignalName) -> np.ndarray:
    values = (getattr(each, name) for each in messages)
    # A score that is not a number is the riskiest there is.
    return np.array([math.inf if v != v else float(v) for v in values if v is not None], np.float64)  # noqa: PLR0124


def _edges(name: SignalName, values: np.ndarray) -> tuple[float, ...]:
    if name in FLAGS:
        return _FLAG
    if name == "windows":
        return WINDOWS
    inner = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
    finite = inner[np.isfinite(inner)]
    return tuple(finite.tolist()) or (0.5,)


def _count(values: np.ndarray, edges: tuple[float, ...]) -> Binned:
    return Binned(edges, tuple(in_bins(values, edges).tolist()))
