"""Ends the process where a call into the Kafka client does not return, long after its own timeout.

It happens: with three brokers, of which one was killed, librdkafka 2.16 waited without end in
`send_offsets_to_transaction`, whatever its timeout, while the consumer of the same process went on and kept
its partitions, which nobody else could read then. Python cannot end such a call, but it can end the process:
the broker aborts the open transaction, and the next process reads the records again.

A thread checks every TICK_S seconds, and counts its checks instead of reading the clock, since a process that
was stopped has not waited.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

log = structlog.get_logger()

TICK_S: Final = 0.5
EXIT_CODE: Final = 70  # EX_SOFTWARE, as the model's watchdog


class StepWatch:
    """Watches one call at a time. `end` is called with EXIT_CODE where one takes longer than `limit_s`."""

    def __init__(self, limit_s: float, end: Callable[[int], object] = os._exit) -> None:
        self._limit_s = limit_s
        self._end = end
        self._step: object | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="step-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop checking."""
        self._closed.set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch one call, during a block."""
        self._step = object()
        try:
            yield
        finally:
            self._step = None

    def _look(self) -> None:
        seen: object | None = None
        waited_s = 0.0
        while not self._closed.wait(TICK_S):
            step = self._step
            waited_s = waited_s + TICK_S if step is not None and step is seen else 0.0
            seen = step
            if waited_s >= self._limit_s:
                log.critical(
                    "kafka_client_never_answered",
                    waited_s=round(waited_s),
                    remedy="this process ends, to be started again; nothing it held was committed, and it is "
                    "read again",
                )
                self._end(EXIT_CODE)
                return
