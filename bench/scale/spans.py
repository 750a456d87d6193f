"""What each batch of a real worker took, station by station: a collector of the spans that workers send.

Workers with `MIMAMORI_TRACES_RATIO=1` send a span for every batch: see `worker/stream/traces.py`.
"""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from typing import Any, Final, Self

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_OPENED: Final = attrgetter("opened")


class Took(msgspec.Struct, frozen=True):
    """A batch: its messages, and when it was opened, read and committed, in seconds since 1970."""

    messages: int
    opened: float
    screening: float
    screened: float
    committing: float
    committed: float

    def after(self, began: float) -> Self:
        """The same, in seconds since `began`."""
        times = {name: getattr(self, name) - began for name in self.__struct_fields__[1:]}
        return msgspec.structs.replace(self, **times)


class Batches:
    """The batches that were reported so far. Thread-safe."""

    def __init__(self, url: str) -> None:
        """`url` is the collector's."""
        self.url = url
        self._found: list[Took] = []

    def take(self, body: bytes) -> None:
        """Keep the batches of a request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self._found += filter(None, map(_took, scope.spans))

    def since(self, at: float) -> list[Took]:
        """Those that were opened after `at`, in order."""
        return sorted((each for each in list(self._found) if each.opened > at), key=_OPENED)


def _took(span: Any) -> Took | None:
    counts = [each.value.int_value for each in span.attributes if each.key == "messaging.batch.message_count"]
    noted = {event.name: event.time_unix_nano * 1e-9 for event in span.events}
    if not counts or "screened" not in noted:
        return None
    return Took(
        counts[0], span.start_time_unix_nano * 1e-9, **noted, committed=span.end_time_unix_nano * 1e-9
    )


@contextmanager
def collecting() -> Iterator[Batches]:
    """A collector on this machine, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            batches.take(gzip.decompress(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    batches = Batches(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield batches
    finally:
        server.shutdown()
        server.server_close()
