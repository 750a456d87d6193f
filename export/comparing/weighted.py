"""Estimates a miss rate from what people judged: only a part of the messages, and not a random one.

People saw what was escalated, and a random sample of what was cleared. Each judged message stands for as many
as there were of its kind for each one judged (inverse-probability weighting, stratified). The interval takes
the worst combination of exact intervals of the parts (Bonferroni), so that it holds at least as often as it
says; with few quality samples it is wide, since one person missed among them stands for thousands.
"""

import msgspec

from export.evaluating.intervals import CONFIDENCE, Interval, share


class Stratum(msgspec.Struct, frozen=True):
    """One kind of messages: `size` of them there were, of which people judged `judged`.

    Of the judged ones at risk, a bundle missed `missed` and found `found`.

    `missed` or `found` is None where it cannot be any by how the messages were chosen: the bundle that
    escalated them misses none of them.
    """

    size: int
    judged: int
    missed: int | None
    found: int | None


class Rate(msgspec.Struct, frozen=True):
    """A share with its interval."""

    value: float
    interval: Interval


def miss_rate(strata: list[Stratum], confidence: float = CONFIDENCE) -> Rate | None:
    """The share that is missed of all messages at risk. None where it cannot be told.

    So it is where nobody judged any message of a stratum, or nobody at risk was found or missed at all.
    """
    if any(stratum.size and not stratum.judged for stratum in strata):
        return None
    strata = [stratum for stratum in strata if stratum.size]
    parts = sum((stratum.missed is not None) + (stratum.found is not None) for stratum in strata)
    missed = _total([(s.size, s.missed, s.judged) for s in strata], parts, confidence)
    found = _total([(s.size, s.found, s.judged) for s in strata], parts, confidence)
    if not missed.value + found.value:
        return None
    return Rate(
        missed.value / (missed.value + found.value),
        Interval(
            _part(missed.interval.low, found.interval.high), _part(missed.interval.high, found.interval.low)
        ),
    )


def _total(counts: list[tuple[int, int | None, int]], parts: int, confidence: float) -> Rate:
    value, low, high = 0.0, 0.0, 0.0
    for size, hits, of in counts:
        if hits is not None:
            span = share(hits, of, 1 - (1 - confidence) / parts)
            value, low, high = value + size * hits / of, low + size * span.low, high + size * span.high
    return Rate(value, Interval(low, high))


def _part(one: float, other: float) -> float:
    return one / (one + other) if one + other else 0.0
