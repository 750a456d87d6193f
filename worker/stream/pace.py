"""How fast the model reads, as measured: so that a batch can be as large as its time allows.

Large batches are read faster (rows of one length need no padding), but what is in flight when partitions are
taken away, or at SIGTERM, must be finished within a deadline. How many tokens that is differs a thousandfold
between a small CPU and a GPU, and between the readings.
"""

from typing import Final

FIRST: Final = 2048.0  # tokens: before anything is measured
_WEIGHT: Final = 0.3  # of the newest batch
_LEAST: Final = 256  # tokens: smaller batches are mostly overhead and say little


class Pace:
    """Tokens a second, an exponentially weighted mean. One thread notes, another asks."""

    def __init__(self) -> None:
        self._rate: float | None = None

    def note(self, tokens: int, seconds: float) -> None:
        """A batch of so many tokens took the model so long."""
        if tokens < _LEAST or seconds <= 0:
            return
        rate = tokens / seconds
        self._rate = rate if self._rate is None else self._rate + _WEIGHT * (rate - self._rate)

    def seconds_for(self, tokens: int) -> float | None:
        """How long so many take; None while nothing is known."""
        return None if self._rate is None else tokens / self._rate

    def tokens_in(self, seconds: float) -> float:
        """How many are read in that time; FIRST while nothing is known."""
        return FIRST if self._rate is None else self._rate * seconds
