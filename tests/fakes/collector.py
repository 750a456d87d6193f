"""A small OTLP collector: an HTTP server that decodes the spans it is sent. It can stall, or refuse."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Received:
    """One span."""

    service: str
    name: str
    kind: int  # 1 internal, 4 producer, 5 consumer
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    attributes: dict[str, str | int]
    links: list[str]  # ids of spans
    events: list[str]
    failed: bool


class Collector:
    """What has arrived. `stalled` answers nobody until it is closed; `refusing` answers 500."""

    def __init__(self, *, stalled: bool = False, refusing: bool = False) -> None:
        self.spans: list[Received] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.asked = threading.Event()
        self.refusing = refusing
        self.refuses_with = 500
        self._going_on = threading.Event()
        if not stalled:
            self._going_on.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.set()
                collector._going_on.wait()
                if self.path != "/v1/traces" or collector.refusing:
                    self.send_error(collector.refuses_with)
                    return
                collector._take(dict(self.headers), body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._going_on.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, headers: dict[str, str], body: bytes) -> None:
        content = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        self.headers.append(headers)
        self.bodies.append(content)
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_received(named["service.name"], span) for span in scope.spans]


def _received(service: str, span: Any) -> Received:
    attributes = {
        each.key: each.value.string_value
        if each.value.WhichOneof("value") == "string_value"
        else each.value.int_value
        for each in span.attributes
    }
    return Received(
        service,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        attributes,
        [link.span_id.hex() for link in span.links],
        [event.name for event in sorted(span.events, key=lambda event: event.time_unix_nano)],
        span.status.code == span.status.STATUS_CODE_ERROR,
    )


@contextmanager
def collecting(*, stalled: bool = False, refusing: bool = False) -> Iterator[Collector]:
    """A collector that listens while the block runs."""
    collector = Collector(stalled=stalled, refusing=refusing)
    try:
        yield collector
    finally:
        collector.close()
