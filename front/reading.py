"""The thread that owns the engine: it takes batches from the line and has the worker's screener score them.

So a text is read exactly as a worker reads it: identical texts of a batch once, long ones in windows, a batch
that the model fails on in halves until the text at fault is found. A model that can read nothing any more
ends the front, and so does one that never answers (`worker/stream/watchdog.py`).
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from engine.errors import FatalError
from front.call import Portion
from front.line import Line
from front.metrics import FrontMetrics
from front.texts import entry_of
from worker.stream.batch import Batch, estimate_tokens
from worker.stream.pace import LEAST, Pace
from worker.stream.screener import Screener
from worker.stream.watchdog import Watchdog
from worker.telemetry.logs import where

log = structlog.get_logger()

JOIN_S: Final = 5.0
_FIRST_TEXTS: Final = 64  # read before the first request, so that the pace is known


class ReadingThread:
    """Reads what stands in the line until it is closed. `failure` is what ended it, None if nothing did."""

    def __init__(
        self,
        screener: Screener,
        line: Line,
        pace: Pace,
        watchdog: Watchdog,
        metrics: FrontMetrics,
    ) -> None:
        self._screener = screener
        self._line = line
        self._pace = pace
        self._watchdog = watchdog
        self._metrics = metrics
        self._small = (0, 0.0)  # tokens and seconds of batches that the pace leaves out
        self._on_failure: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="reading", daemon=True)
        self.failure: FatalError | None = None

    def start(self, on_failure: Callable[[], None]) -> None:
        """Measure the pace on texts of our own, and begin. Raises what the engine raises (DeviceError).

        `on_failure` is called on this thread when the model has failed for good.
        """
        self._on_failure = on_failure
        entries = [entry_of(f"good morning number {n}, the kettle is on") for n in range(_FIRST_TEXTS)]
        first = Batch(0, time.monotonic(), entries)
        first.estimated_tokens = sum(estimate_tokens(e.message.text) for e in entries if e.message)
        self._read(first)
        self._watchdog.start()
        self._thread.start()

    def close(self) -> None:
        """Wait until the line, which must be closed, is read to its end, or JOIN_S passed."""
        self._thread.join(JOIN_S)
        self._watchdog.close()

    def _run(self) -> None:
        portion: Portion | None = None
        try:
            while (portion := self._line.take()) is not None:
                with self._watchdog.watching(portion.batch):
                    self._read(portion.batch)
                self._line.settle(portion)
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may wait for an answer for ever
            self._fail(error, portion)

    def _read(self, batch: Batch) -> None:
        began = time.monotonic()
        self._screener.screen(batch)
        took = time.monotonic() - began
        self._measure(batch.estimated_tokens, took)
        self._metrics.batch(len(batch.entries), took)

    def _measure(self, tokens: int, seconds: float) -> None:
        """Note the pace. Small batches together are noted where they were read faster than it.

        Most of their time is overhead, so that the model is at least as fast. Without them, a front with few
        callers would go by one slow batch for ever.
        """
        if tokens >= LEAST:
            self._pace.note(tokens, seconds)
            return
        tokens, seconds = self._small[0] + tokens, self._small[1] + seconds
        self._small = tokens, seconds
        if tokens >= LEAST:
            self._small = 0, 0.0
            expected = self._pace.seconds_for(tokens)
            if expected is not None and seconds < expected:
                self._pace.note(tokens, seconds)

    def _fail(self, error: BaseException, portion: Portion | None) -> None:
        if not isinstance(error, FatalError):
            # Leave out the error's own message and traceback, which could quote a text.
            error = FatalError(
                f"reading failed unexpectedly, {type(error).__name__} at {where(error)}: a fault of ours; "
                "callers were told that their texts have no scores"
            )
        log.error("reading_failed", error=str(error))
        self.failure = error
        if portion is not None:
            self._line.settle(portion, error)
        self._line.refuse_all(error)
        self._on_failure()
