"""Spans that wait to be sent: a bounded queue, and counts of what the collector took and what was dropped."""

import threading
from collections.abc import Sequence
from typing import Final

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tracing.spans import CountSpans

log = structlog.get_logger()

QUEUE: Final = 2048  # spans that wait, or are being sent: a few MB at most
AT_ONCE: Final = 512
EVERY_S: Final = 5.0


class CountedExporter(SpanExporter):
    """Counts what the collector took and what it did not. Used by the thread that sends."""

    def __init__(self, exporter: SpanExporter, count: CountSpans) -> None:
        self._exporter = exporter
        self._count = count
        self._takes = True
        self._closed = False
        self._lock = threading.Lock()
        self._pending = 0

    def accept(self) -> bool:
        """Make room for one more span; False where the queue is full."""
        with self._lock:
            if self._pending >= QUEUE:
                return False
            self._pending += 1
            return True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, and wait for the answer; at once a failure where this is closed."""
        result = SpanExportResult.FAILURE if self._closed else self._exporter.export(spans)
        with self._lock:
            if self._closed:
                return result  # counted already
            self._pending -= len(spans)
        taken = result is SpanExportResult.SUCCESS
        self._count("sent" if taken else "not_taken", len(spans))
        if taken != self._takes:
            self._takes = taken
            if taken:
                log.info("spans_taken_again")
            else:
                log.warning("spans_not_taken", advice="is the collector up? Screening goes on without it")
        return result

    def give_up(self) -> None:
        """From now on nothing is sent; what still waits counts as not taken."""
        with self._lock:
            self._closed = True
            left, self._pending = self._pending, 0
        if left:
            self._count("not_taken", left)

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()


class BoundedQueue(BatchSpanProcessor):
    """OpenTelemetry's queue and thread. It counts a span that finds no room, and never waits for any."""

    def __init__(self, exporter: CountedExporter, count: CountSpans) -> None:
        super().__init__(
            exporter,
            max_queue_size=QUEUE,
            schedule_delay_millis=EVERY_S * 1000,
            max_export_batch_size=AT_ONCE,
        )
        self._exporter = exporter
        self._count = count

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended."""
        if self._exporter.accept():
            super().on_end(span)
        else:
            self._count("queue_full", 1)
