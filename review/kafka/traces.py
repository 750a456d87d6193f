"""Spans of a desk: a case is opened, and it is decided. Both are in the trace of the case's message.

A case keeps the trace that its record names, and its decision names it as its cause, with spans or without.
Only cases whose producer has sampled their message have spans. No attribute says what was found, by whom, or
which kind of case it is: a quality sample must look like every other case here, too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from faust.types import EventT
from msgspec.structs import replace

from review.cases.entries import Arrival
from review.cases.remains import Decided
from review.cases.state import CaseState
from review.errors import DeskError
from review.metrics import DeskMetrics
from review.settings import ENV_PREFIX, ReviewSettings
from schemas.headers import Pairs, Trace, find_trace
from tracing.opening import open_tracer
from tracing.spans import Attributes, Kind, Span, Tracer

# A second. A desk takes in far fewer; this is for one that reads what has waited, with everything sampled.
AT_MOST: Final = 100.0


def open_spans(settings: ReviewSettings, metrics: DeskMetrics) -> Tracer | None:
    """The tracer of the settings; None where they name no collector.

    Raises DeskError: the extra `traces` is not installed.
    """
    try:
        return open_tracer(
            settings.spans_to,
            lambda outcome, spans: metrics.spans.labels(outcome).inc(spans),
            service="mimamori-review",
            ratio=0.0,
            at_most=AT_MOST,
        )
    except ModuleNotFoundError as error:
        raise DeskError(
            f"sending spans to {ENV_PREFIX}TRACES_ENDPOINT needs {error.name}: in a clone of Mimamori, "
            "pip install '.[traces]'"
        ) from None


class CaseTraces:
    """Makes the spans of cases. Used by the desk's thread."""

    def __init__(self, tracer: Tracer | None, group: str, decisions: str) -> None:
        """`tracer`: None, and there are no spans. `group` consumes cases, `decisions` is a topic."""
        self._tracer = tracer
        self._group = group
        self._decisions = decisions

    @contextmanager
    def arriving(
        self, event: EventT[bytes], entry: CaseState | Decided, outcome: Arrival
    ) -> Iterator[CaseState | Decided]:
        """Give a case that is opened its trace, and span the block, which puts it into the table."""
        trace = find_trace(headers_of(event))
        if outcome != "opened" or not isinstance(entry, CaseState) or entry.erased_at or trace is None:
            yield entry
            return
        span: Span | None = None
        if self._tracer is not None and trace.sampled and self._tracer.admits(1):
            span = self._tracer.of_message(*self._opened(event), trace)
            trace = span.trace
        yield replace(entry, trace=trace)
        if span is not None:  # what was not put into the table is handled again, and has its span then
            span.end()

    def _opened(self, event: EventT[bytes]) -> tuple[str, Kind, Attributes]:
        message = event.message
        return (
            f"process {message.topic}",
            "consumer",
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": message.topic,
                "messaging.destination.partition.id": str(message.partition),
                "messaging.kafka.offset": message.offset,
                "messaging.consumer.group.name": self._group,
            },
        )

    @contextmanager
    def deciding(self, state: CaseState) -> Iterator[Trace | None]:
        """The trace that a decision names as its cause; spans the block, which publishes it."""
        trace = state.trace
        tracer = self._tracer
        if tracer is None or trace is None or not trace.sampled or not tracer.admits(1):
            yield trace
            return
        attributes: Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": self._decisions,
            "messaging.destination.partition.id": str(state.partition),
        }
        span = tracer.of_message(f"send {self._decisions}", "producer", attributes, trace)
        try:
            yield span.trace
        except BaseException as error:
            span.end(fault=type(error).__name__)
            raise
        span.end()

    def close(self, within_s: float) -> None:
        """Send what waits."""
        if self._tracer is not None:
            self._tracer.close(within_s)


def headers_of(event: EventT[bytes]) -> Pairs | None:
    """The headers of a consumed record, which Faust gives in two forms."""
    headers = event.message.headers
    return list(headers.items() if isinstance(headers, Mapping) else headers) if headers else None
