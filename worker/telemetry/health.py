"""Serves /livez, /readyz and /metrics over HTTP, for probes and Prometheus.

/livez   200 while the polling thread runs. It never asks the broker, since Kubernetes must not kill workers
         that only wait for Kafka during an outage.
/readyz  200 once the engine is warm and the group has assigned partitions, until the drain begins, and not
         while the group has taken them away or no broker answers, so that a roll-out waits for such workers.

Anyone who reaches the port may open connections and send nothing. So there are at most CONNECTIONS of them,
each with ASKING_S to send its request and ANSWERING_S to take the answer. Where there are too many, the one
that has been open longest without a request is closed, since a probe sends its request at once.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any, Final, Protocol, Self, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from engine.errors import SettingsError

SHUTDOWN_POLL_S = 0.05
CONNECTIONS: Final = 64
ASKING_S: Final = 5.0
ANSWERING_S: Final = 10.0

Probe = Callable[[], str | None]  # returns what is wrong, or None


class Exposed(Protocol):
    """Metrics with a registry of their own."""

    registry: CollectorRegistry


class _Server(ThreadingMixIn, WSGIServer):
    """Runs a thread for each connection. The accepting thread closes those without a timely request."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = threading.Lock()
        self._asking: dict[socket.socket, float] = {}  # without a request yet: since when, the oldest first
        self._answering: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection that was just accepted."""
        with self._lock:
            if len(self._asking) + len(self._answering) >= CONNECTIONS:
                if not self._asking:  # all are being answered, for a limited time
                    super().shutdown_request(request)
                    return
                self._end_oldest()
            self._asking[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Close overdue connections. The accepting thread calls this a few times a second."""
        with self._lock:
            while self._asking and next(iter(self._asking.values())) < time.monotonic() - ASKING_S:
                self._end_oldest()

    def has_asked(self, request: socket.socket) -> bool:
        """Note that a request's header is complete; False where its connection was closed before."""
        with self._lock:
            if self._asking.pop(request, None) is None:
                return False
            self._answering.add(request)
            return True

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, whether it was answered or not."""
        with self._lock:
            self._asking.pop(request, None)
            self._answering.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report no connections that broke, were closed or timed out."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def _end_oldest(self) -> None:
        oldest = next(iter(self._asking))
        del self._asking[oldest]
        with suppress(OSError):  # it may just have ended by itself
            oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end of the stream, and closes it


class _Handler(WSGIRequestHandler):
    timeout = ANSWERING_S  # of one send or receive

    def parse_request(self) -> bool:
        server = cast("_Server", self.server)
        return super().parse_request() and server.has_asked(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing, since probes every few seconds would drown the log."""


class Health:
    """The HTTP server, which runs inside a `with` block."""

    def __init__(self, host: str, port: int, metrics: Exposed, live: Probe, ready: Probe) -> None:
        self._metrics_app = make_wsgi_app(metrics.registry)
        self._probes = {"/livez": live, "/readyz": ready}
        try:
            self._server = make_server(host, port, self._answer, _Server, _Handler)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}:{port} ({error.strerror}): set MIMAMORI_HEALTH_PORT to a free port "
                "and MIMAMORI_HEALTH_HOST to an address of this machine"
            ) from None
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SHUTDOWN_POLL_S,), name="health", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            page: Iterable[bytes] = self._metrics_app(environ, start_response)
            return page
        probe = self._probes.get(path)
        wrong = "only /livez, /readyz and /metrics are here" if probe is None else probe()
        status = "404 Not Found" if probe is None else "503 Service Unavailable" if wrong else "200 OK"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [(wrong or "ok").encode() + b"\n"]
