"""Measures how fast the model reads, so that a batch can be as large as its time allows.

Large batches are read faster (rows of one length need no padding). But the batches in flight must be finished
within a deadline at SIGTERM, and when partitions are taken away. How many tokens can be read in that time
differs a thousandfold between a small CPU and a GPU, and between the readings.
"""

from typing import Final

FIRST: Final = 2048.0  # tokens, assumed before anything is measured
_WEIGHT: Final = 0.3  # of the newest batch
LEAST: Final = 256  # tokens; smaller batches are not measured, as most of their time is overhead


class Pace:
    """Tokens per second, as an exponentially weighted mean. One thread notes, another one asks."""

    def __init__(self) -> None:
        self._rate: float | None = None

    def note(self, tokens: int, seconds: float) -> None:
        """Note that the model took `seconds` to read a batch of `tokens`."""
        if tokens < LEAST or seconds <= 0:
            return
        rate = tokens / seconds
        self._rate = rate if self._rate is None else self._rate + _WEIGHT * (rate - self._rate)

    def seconds_for(self, tokens: float) -> float | None:
        """How long `tokens` take to read; None before anything is measured."""
        return None if self._rate is None else tokens / self._rate

    def tokens_in(self, seconds: float) -> float:
        """How many tokens are read in `seconds`; FIRST before anything is measured."""
        return FIRST if self._rate is None else self._rate * seconds
