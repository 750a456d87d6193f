"""A circuit breaker: stops asking something that keeps failing, and now and then tries once.

    closed ── failures in a row ──► open ── cool-down over ──► one probe ──► closed
                                      ▲                            │
                                      └──── failed: twice as long ─┘

It only counts; it calls nothing and raises nothing. Safe from several threads.
"""

import threading
import time
from collections.abc import Callable


class Circuit:
    """Args: `failures` in a row that open it; the first and the longest cool-down in seconds; the clock."""

    def __init__(
        self,
        failures: int = 3,
        cool_down_s: float = 1.0,
        longest_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._first = self._cool_down = cool_down_s
        self._longest = longest_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._probe_at: float | None = None  # None: closed

    @property
    def is_open(self) -> bool:
        """Whether it refuses all but probes."""
        return self._probe_at is not None

    def allows(self) -> bool:
        """Whether to ask now. While open, True for one caller per cool-down: the probe."""
        with self._lock:
            if self._probe_at is None:
                return True
            now = self._clock()
            if now < self._probe_at:
                return False
            self._probe_at = now + self._cool_down  # a probe that never reports costs one more cool-down
            return True

    def succeeded(self) -> bool:
        """Report an answer; returns whether that closed the circuit."""
        with self._lock:
            closed = self._probe_at is not None
            self._failures = 0
            self._probe_at = None
            self._cool_down = self._first
            return closed

    def failed(self) -> bool:
        """Report a failure; returns whether that opened the circuit."""
        with self._lock:
            self._failures += 1
            if self._probe_at is not None:  # a failed probe
                self._cool_down = min(self._longest, self._cool_down * 2)
                self._probe_at = self._clock() + self._cool_down
                return False
            if self._failures < self._limit:
                return False
            self._probe_at = self._clock() + self._cool_down
            return True
