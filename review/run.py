"""Runs the desk until a signal or a fault; `mimamori review` is `run(settings)`.

Faust does not stop while it is stuck joining its group. So SIGTERM starts a timer, and at its deadline the
process ends, whatever the event loop does. Nothing is lost, since what was not committed is delivered again.
"""

import asyncio
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Final

import faust
import structlog
from mode import Service

from review.app import ReviewApp
from review.errors import DeskError
from review.hooks.teller import open_teller
from review.kafka.cluster import inspect
from review.logs import capture_library_logs
from review.retention.folder import make_private
from review.settings import ReviewSettings
from review.web.server import DeskServer

log = structlog.get_logger()

SPANS_S: Final = 1.0  # for the last spans


class DeskWorker(faust.Worker):
    """Faust's worker, without its banner and with a deadline for the shutdown."""

    def __init__(
        self,
        review: ReviewApp,
        server: DeskServer,
        loop: asyncio.AbstractEventLoop,
        beside: Sequence[Service] = (),
    ) -> None:
        super().__init__(
            review.faust,
            server,
            *beside,
            loop=loop,
            quiet=True,
            override_logging=False,
            redirect_stdouts=False,
        )
        self.spinner = None
        self._review = review
        self._server = server
        self._deadline: threading.Timer | None = None
        self._ending: threading.Timer | None = None

    @property
    def told_to_stop(self) -> bool:
        """Whether a signal has been received."""
        return self._deadline is not None

    def _install_signal_handlers_unix(self) -> None:
        # signal.signal and not loop.add_signal_handler, since its handler also runs while the loop is stuck.
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._deadline is None:
            self._deadline = threading.Timer(self._review.settings.shutdown_seconds, _give_up)
            self._deadline.daemon = True
            self._deadline.start()
            self.loop.call_soon_threadsafe(self._schedule_shutdown, signal.Signals(number))

    async def on_startup_finished(self) -> None:
        """Log the desk's URL."""
        settings = self._review.settings
        scheme = "http" if settings.tls_certificate is None else "https"
        log.info(
            "desk_open",
            url=f"{scheme}://{settings.host}:{self._server.pages.port}/",
            health_port=self._server.health.port,
            partitions=self._review.held_partitions,
            signing_key=self._review.signing.key_id,
        )

    def run(self) -> None:
        """Run until stopped. Raises the exception that made the app crash."""
        self._starting_fut = asyncio.ensure_future(self.start(), loop=self.loop)
        try:
            self.loop.run_until_complete(self._starting_fut)
        except asyncio.CancelledError:
            pass  # a signal came during the start
        finally:
            try:
                self.stop_and_shutdown()
            finally:
                if self._ending is not None:
                    self._ending.cancel()

    def _crash(self, reason: BaseException) -> None:
        # An agent that tries again and again what Kafka refuses would keep a crashed app from ending.
        super()._crash(reason)
        if self._ending is None:
            settings = self._review.settings
            self._ending = threading.Timer(settings.shutdown_seconds, _give_up_with, [reason, settings])
            self._ending.daemon = True
            self._ending.start()


def _give_up() -> None:
    log.warning("shutdown_deadline_passed", hint="what was not committed will be delivered again")
    sys.stderr.flush()
    os._exit(0)


def _give_up_with(fault: BaseException, settings: ReviewSettings) -> None:
    sys.stderr.write(f"error: {_named(fault, settings)}\n")  # nobody else is left to say it
    sys.stderr.flush()
    os._exit(1)


def _named(fault: BaseException, settings: ReviewSettings) -> DeskError:
    """Why the desk has stopped: what Kafka has taken from it, where that is it."""
    if isinstance(fault, DeskError):
        return fault
    try:
        asyncio.run(inspect(settings))
    except DeskError as error:
        return error
    said = " ".join(str(fault).split())  # Faust's own may have several lines
    return DeskError(f"the desk stopped: {type(fault).__name__}: {said}")


def run(settings: ReviewSettings) -> None:
    """Serve the desk. Raises DeskError: one line says why it could not start or go on."""
    capture_library_logs()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    cluster = loop.run_until_complete(inspect(settings))
    with _sole_user_of(settings.folder):
        review = ReviewApp(settings, cluster, loop)
        watch, queue = review.watch, review.present.queue
        teller = open_teller(
            settings, queue, review.metrics, lambda: review.ready, lambda: watch.webhooks_fault
        )
        beside = [review.watch, review.access, *([teller] if teller else [])]
        worker = DeskWorker(review, DeskServer(review), loop, beside)
        try:
            worker.run()
        except DeskError:
            raise
        except Exception as error:  # noqa: BLE001 - every error of Faust becomes one line
            if worker.told_to_stop:  # Faust itself raises errors when it is stopped while it starts
                log.warning("shutdown_incomplete", error=type(error).__name__)
                return
            raise _named(error, settings) from None
        finally:
            review.traces.close(SPANS_S)
    log.info("desk_closed")


def _sole_user_of(folder: Path) -> TextIOWrapper:
    # RocksDB locks the folder too, but Faust would wait 30 s for that lock silently, and then crash.
    make_private(folder)
    try:
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DeskError(f"cannot keep the table in {folder}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise DeskError(f"another desk keeps its table in {folder}: set MIMAMORI_REVIEW_FOLDER") from None
    return lock
