"""OpenTelemetry: spans are sampled, wait in a bounded queue, and are sent by a thread of their own.

Whoever ends a span never waits. Where the queue is full, or the collector does not take what it is sent,
spans are dropped and counted. OpenTelemetry's own log lines are switched off, since it says the same of every
span: here one line says when a collector stops taking spans, and one when it takes them again.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, cast

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.util.types import Attributes as OtelAttributes

from schemas.headers import Trace
from tracing.destination import Destination
from tracing.limit import Limit
from tracing.spans import Attributes, CountSpans, Kind, Span
from tracing.waiting import BoundedQueue, CountedExporter

ANSWER_S: Final = 5.0  # for one request, with everything that is tried again
_KINDS: Final = {"consumer": SpanKind.CONSUMER, "producer": SpanKind.PRODUCER}


class LinkedOrByChance(Sampler):
    """Of the traces that begin here, those with links are recorded, and the others by chance."""

    def __init__(self, ratio: float) -> None:
        self._linked = ParentBased(root=ALWAYS_ON)
        self._others = ParentBased(root=TraceIdRatioBased(ratio))

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See Sampler."""
        sampler = self._linked if links else self._others
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """See Sampler."""
        return "LinkedOrByChance"


class SentSpan:
    """See `tracing.spans.Span`."""

    def __init__(self, span: OtelSpan, state: str | None) -> None:
        self.otel = span
        found = span.get_span_context()
        flags = int(found.trace_flags)
        self.trace = Trace(f"00-{found.trace_id:032x}-{found.span_id:016x}-{flags:02x}", state)

    def note(self, what: str, at: float) -> None:
        """See `tracing.spans.Span`."""
        self.otel.add_event(what, timestamp=_nanoseconds(at))

    def end(self, at: float | None = None, fault: str | None = None) -> None:
        """See `tracing.spans.Span`."""
        if fault is not None:
            self.otel.set_status(Status(StatusCode.ERROR, fault))
        self.otel.end(_nanoseconds(at))


class _Direct(requests.Session):
    """Takes a redirect for a refusal: the exporter would take it for a success, and the spans were lost."""

    def request(self, *args: Any, **more: Any) -> requests.Response:
        """See requests.Session."""
        answer = super().request(*args, **more)
        if 300 <= answer.status_code < 400:  # noqa: PLR2004 - redirects
            raise requests.TooManyRedirects
        return answer


class OtlpTracer:
    """See `tracing.spans.Tracer`. Its thread sends to an OTLP collector over HTTP, as protobuf."""

    def __init__(
        self,
        to: Destination,
        count: CountSpans,
        *,
        service: str,
        version: str,
        instance: str,
        ratio: float,
        at_most: float,
    ) -> None:
        """`ratio` of the batches without a sampled message, and `at_most` messages a second, get spans."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        session = _Direct()
        session.trust_env = False  # no proxy and no .netrc: spans go to what the settings name
        otlp = OTLPSpanExporter(
            endpoint=to.url,
            headers=to.headers,
            certificate_file=str(to.ca) if to.ca else None,
            timeout=ANSWER_S,
            compression=Compression.Gzip,
            session=session,
        )
        self._exporter = CountedExporter(otlp, count)
        self._count = count
        self._limit = Limit(at_most)
        names = {
            "service.namespace": "mimamori",
            "service.name": service,
            "service.version": version,
            "service.instance.id": instance,
        }
        self._provider = TracerProvider(
            sampler=LinkedOrByChance(ratio), resource=Resource.create(names), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BoundedQueue(self._exporter, count))
        self._tracer = self._provider.get_tracer("mimamori", version)

    def admits(self, sampled: int) -> int:
        """See `tracing.spans.Tracer`."""
        admitted = self._limit.admits(sampled)
        if admitted < sampled:
            self._count("over_limit", sampled - admitted)
        return admitted

    def of_message(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        cause: Trace,
        *,
        batch: Span | None = None,
        at: float | None = None,
    ) -> SentSpan:
        """See `tracing.spans.Tracer`."""
        parent = set_span_in_context(NonRecordingSpan(_context(cause)), Context())
        links = [Link(cast("SentSpan", batch).otel.get_span_context())] if batch else None
        span = self._tracer.start_span(
            name, parent, _KINDS[kind], attributes, links, start_time=_nanoseconds(at)
        )
        return SentSpan(span, cause.state)

    def of_batch(
        self, name: str, attributes: Attributes, causes: Sequence[Trace], *, at: float | None = None
    ) -> SentSpan:
        """See `tracing.spans.Tracer`."""
        links = [Link(_context(cause)) for cause in causes]
        span = self._tracer.start_span(
            name, Context(), SpanKind.CONSUMER, attributes, links, start_time=_nanoseconds(at)
        )
        return SentSpan(span, None)

    def flush(self) -> None:
        """Send what waits now, and wait for the collector. For measurements and tests."""
        self._provider.force_flush()

    def close(self, within_s: float) -> None:
        """See `tracing.spans.Tracer`."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans-closing", daemon=True)
        closing.start()
        closing.join(within_s)
        self._exporter.give_up()


def _context(trace: Trace) -> SpanContext:
    parent = trace.parent
    state = TraceState.from_header([trace.state]) if trace.state else None
    return SpanContext(
        int(parent[3:35], 16), int(parent[36:52], 16), True, TraceFlags(int(parent[53:55], 16)), state
    )


def _nanoseconds(at: float | None) -> int:
    return time.time_ns() if at is None else int(at * 1e9)
