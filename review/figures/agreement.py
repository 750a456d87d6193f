"""How far two readers of the same cases agree beyond chance: Cohen's kappa. Pure."""

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Final

import msgspec

Z95: Final = 1.959963984540054


class Interval(msgspec.Struct, frozen=True):
    """A share or coefficient with its interval of 95 %, from so many cases."""

    value: float
    low: float
    high: float
    cases: int


def kappa(pairs: Sequence[tuple[str, str]]) -> Interval | None:
    """Cohen's kappa of what two readers found; None where chance alone would make them agree, or of no pairs.

    kappa = (p - e) / (1 - e), with p the share of cases on which they agree, and e the share on which they
    would by chance, given how often each uses each word (Cohen, A coefficient of agreement for nominal
    scales, 1960). The interval is from its large-sample standard error there,
    sqrt(p (1 - p) / (n (1 - e)^2)); it is rough below some 50 pairs.
    """
    count = len(pairs)
    if not count:
        return None
    first, second = (Counter(side) for side in zip(*pairs, strict=True))
    agreed = sum(one == other for one, other in pairs) / count
    by_chance = sum(first[word] * second[word] for word in first) / count**2
    if by_chance >= 1:
        return None
    value = (agreed - by_chance) / (1 - by_chance)
    error = sqrt(agreed * (1 - agreed) / count) / (1 - by_chance)
    return Interval(value, max(-1.0, value - Z95 * error), min(1.0, value + Z95 * error), count)


def share(found: int, of: int) -> Interval | None:
    """A share with Wilson's interval (Probable inference, 1927), which holds for small counts too."""
    if not of:
        return None
    value, square = found / of, Z95**2
    middle = (value + square / (2 * of)) / (1 + square / of)
    half = Z95 * sqrt(value * (1 - value) / of + square / (4 * of**2)) / (1 + square / of)
    # Rounding must not put a share of none or all outside of its own interval.
    return Interval(value, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half)), of)
