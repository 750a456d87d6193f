"""/livez, /readyz and /metrics over HTTP, for probes and Prometheus. Says nothing about the broker's health.

/livez   200 while the polling thread turns. Never asks the broker: a Kafka outage must not make
         Kubernetes kill workers that only wait for it.
/readyz  200 once the engine is warm and the group has assigned, until the drain begins.
"""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from worker.errors import SettingsError
from worker.metrics import Metrics

SHUTDOWN_POLL_S = 0.05

Probe = Callable[[], str | None]  # None: well; else what is wrong


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Probes every few seconds would drown the log."""


class Health:
    """The HTTP server; a context manager."""

    def __init__(self, host: str, port: int, metrics: Metrics, live: Probe, ready: Probe) -> None:
        self._metrics_app = make_wsgi_app(metrics.registry)
        self._probes = {"/livez": live, "/readyz": ready}
        try:
            self._server = make_server(host, port, self._answer, _Server, _Quiet)
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
