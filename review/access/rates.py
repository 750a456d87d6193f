"""Rate limits: each person or address has a bucket that fills steadily; each request takes one from it."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from review.access.errors import TooManyRequestsError

# Somebody with as many addresses as they like must not fill the memory; the bucket that rested longest goes.
BUCKETS: Final = 10_000


class Rate:
    """At most `per_minute` requests for each key in the long run, and as many at once."""

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._most = float(per_minute)
        self._a_second = per_minute / 60
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> left, at this time

    def take(self, key: str) -> None:
        """Take one from this key's bucket. Raises TooManyRequestsError: it is empty."""
        now = self._now()
        left, since = self._buckets.pop(key, (self._most, now))
        left = min(self._most, left + (now - since) * self._a_second)
        taken = left >= 1
        self._buckets[key] = (left - taken, now)
        while len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        if not taken:
            raise TooManyRequestsError(math.ceil((1 - left) / self._a_second))

    def give_back(self, key: str) -> None:
        """Put back the one that was taken: it does not count."""
        if key in self._buckets:
            left, since = self._buckets[key]
            self._buckets[key] = (min(self._most, left + 1), since)
