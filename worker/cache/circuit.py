"""A circuit breaker: stops calls to a service that keeps failing, and lets one through now and then.

    closed ── failures in a row ──► open ── cool-down over ──► one probe ──► closed
                                      ▲                            │
                                      └──── failed: twice as long ─┘

It only counts: it calls nothing and raises nothing. Thread-safe.
"""

import threading
import time
from collections.abc import Callable


class Circuit:
    """It opens after `failures` in a row. The first and the longest cool-down are in seconds."""

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
        """Whether it refuses all calls but probes."""
        return self._probe_at is not None

    def allows(self) -> bool:
        """Whether to call now. While open, this is True for one caller per cool-down, which is the probe."""
        with self._lock:
            if self._probe_at is None:
                return True
            now = self._clock()
            if now < self._probe_at:
                return False
            self._probe_at = now + self._cool_down  # the time of the next probe, if this one never reports
            return True

    def succeeded(self) -> bool:
        """Report a success; returns whether it closed the circuit."""
        with self._lock:
            closed = self._probe_at is not None
            self._failures = 0
            self._probe_at = None
            self._cool_down = self._first
            return closed

    def failed(self) -> bool:
        """Report a failure; returns whether it opened the circuit."""
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
