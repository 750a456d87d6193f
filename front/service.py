"""Runs the front from start to end: the port, the reading thread, probes, and the drain after SIGTERM.

    main thread     event loop: connections, requests, answers
    reading thread  the engine
    health thread   /livez, /readyz and /metrics, on a port of their own (MIMAMORI_HEALTH_PORT)

On `stop` the front says that it is not ready, accepts no more connections, and answers what it has admitted
within the worker's drain deadline (MIMAMORI_DRAIN_S). What comes on an open connection meanwhile gets 503.
"""

import asyncio
import threading
import time
from contextlib import suppress
from typing import Final, cast

import structlog
from aiohttp import web

from engine.errors import SettingsError
from front.line import Line
from front.metrics import FrontMetrics
from front.reading import ReadingThread
from front.settings import ENV_PREFIX, FrontSettings
from review.web.door import Door
from review.web.tls import Certificate, TlsDoor
from worker.settings import Settings
from worker.telemetry.health import Health

log = structlog.get_logger()

BEAT_S: Final = 1.0
MARGIN_S: Final = 30.0
LEAST_BACKLOG: Final = 100
STALLED_S: Final = 30.0  # an event loop that has not run for this long is not alive


class Service:
    """One front. Call `run` once; any thread or signal handler may call `stop`."""

    def __init__(
        self,
        settings: Settings,
        own: FrontSettings,
        application: web.Application,
        line: Line,
        reading: ReadingThread,
        metrics: FrontMetrics,
    ) -> None:
        self._settings = settings
        self._own = own
        self._application = application
        self._line = line
        self._reading = reading
        self._metrics = metrics
        self._stopping = False  # a plain flag, since a signal handler sets it and must not take a lock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._last_beat = time.monotonic()
        self.listening = threading.Event()
        self.port = own.port

    def run(self) -> None:
        """Answer requests until `stop`. Raises FatalError: a port is taken, or the model has failed."""
        listen = self._settings.health_host, self._settings.health_port
        certificate = self._certificate()
        with Health(*listen, self._metrics, self._live, self._ready) as health:
            self._reading.start(self.stop)
            try:
                asyncio.run(self._serve(certificate, health.port))
            finally:
                self._line.close()
                self._reading.close()
        if self._reading.failure is not None:
            raise self._reading.failure
        log.info("front_stopped")

    def stop(self) -> None:
        """Begin the drain. Idempotent."""
        self._stopping = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self, certificate: Certificate | None, health_port: int) -> None:
        self._loop = asyncio.get_running_loop()
        # A request may wait for the deadline, and then be read for as long as one may take by itself.
        door = Door(self._own.max_connections, self._own.body_s + 2 * self._own.deadline_s + MARGIN_S)
        self._application.middlewares.insert(0, door.watch)
        runner = web.AppRunner(
            self._application,
            access_log=None,
            handler_cancellation=True,  # texts that nobody waits for are not read
            shutdown_timeout=self._settings.drain_s,
        )
        await runner.setup()
        door.open(cast("web.Server", runner.server))
        works = [self._beat(), door.keep(), *([certificate.keep()] if certificate else [])]
        beside = [self._loop.create_task(work) for work in works]
        try:
            listener = await self._listen(door, certificate)
            self.listening.set()
            log.info("front_started", host=self._own.host, port=self.port, health_port=health_port)
            if not self._stopping:
                await self._ended.wait()
            log.info("front_drains", waiting_tokens=self._line.waiting_tokens)
            listener.close()
        finally:
            self._line.close()
            await runner.cleanup()  # waits for the answers under way
            for task in beside:
                task.cancel()

    async def _listen(self, door: Door, certificate: Certificate | None) -> asyncio.Server:
        host, port, most = self._own.host, self._own.port, self._own.max_connections
        entry = TlsDoor(door, certificate.context, most) if certificate else door
        try:
            listener = await asyncio.get_running_loop().create_server(
                entry, host, port, backlog=max(most, LEAST_BACKLOG)
            )
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}:{port} ({error.strerror}): set {ENV_PREFIX}PORT to a free port and "
                f"{ENV_PREFIX}HOST to an address of this machine"
            ) from None
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def _beat(self) -> None:
        while True:
            self._last_beat = time.monotonic()
            await asyncio.sleep(BEAT_S)

    def _certificate(self) -> Certificate | None:
        own = self._own
        if own.tls_certificate is None or own.tls_key is None:
            return None
        return Certificate(own.tls_certificate, own.tls_key, prefix=ENV_PREFIX, fault=SettingsError)

    def _live(self) -> str | None:
        silent = time.monotonic() - self._last_beat
        if self.listening.is_set() and silent > STALLED_S:
            return f"the event loop has not run for {silent:.0f} s"
        return None

    def _ready(self) -> str | None:
        if self._stopping:
            return "draining"
        return None if self.listening.is_set() else "starting"
