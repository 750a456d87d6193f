"""How many messages of a second may have a span: a producer decides what is sampled, and could sample all."""

import time
from collections.abc import Callable
from typing import Final

HANDFUL_S: Final = 0.25


class Limit:
    """A bucket that holds a second's worth. Used by one thread.

    Once it is empty, it is filled for a quarter of a second before it is opened again. So where far more
    messages are sampled than may have a span, those that have one are in a few batches and not in all of
    them: each batch with such a message has a span of its own as well, and that costs as much.
    """

    def __init__(self, at_most: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`at_most` so many a second, more than 0."""
        self._rate = at_most
        self._deepest = max(1.0, at_most)
        self._left = self._deepest
        self._open = True
        self._clock = clock
        self._asked = clock()

    def admits(self, wanted: int) -> int:
        """How many of `wanted` may pass now."""
        now = self._clock()
        self._left = min(self._deepest, self._left + (now - self._asked) * self._rate)
        self._asked = now
        if not self._open and self._left < self._rate * HANDFUL_S:
            return 0
        admitted = min(wanted, int(self._left))
        self._left -= admitted
        self._open = self._left >= 1
        return admitted
