"""How many messages of a second may have a span: a producer decides what is sampled, and could sample all."""

import time
from collections.abc import Callable


class Limit:
    """A bucket that holds a second's worth. Used by one thread."""

    def __init__(self, at_most: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`at_most` so many a second, more than 0."""
        self._rate = at_most
        self._deepest = max(1.0, at_most)
        self._left = self._deepest
        self._clock = clock
        self._asked = clock()

    def admits(self, wanted: int) -> int:
        """How many of `wanted` may pass now."""
        now = self._clock()
        self._left = min(self._deepest, self._left + (now - self._asked) * self._rate)
        self._asked = now
        admitted = min(wanted, int(self._left))
        self._left -= admitted
        return admitted
