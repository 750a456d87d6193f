"""Connects the three stations, and runs the worker from start to end: threads, drain, health.

    calling thread   intake ──► screener ──► outbox    one queue between neighbours
                     polls      runs the     commits
                     Kafka      model        transactions

The first station that fails stops all three, and nothing that it held was committed. On `stop` the intake
reads no more, and the batches in flight are finished within one deadline that all stations share. Records of
unfinished batches are read again by the worker that is assigned their partitions next.
"""

import queue
import threading
import time
from collections.abc import Callable

import structlog

from engine.errors import FatalError
from tracing.spans import Tracer
from worker.kafka import Consumer, Producer, RebalanceListener
from worker.kafka.access_watch import AccessWatch
from worker.settings import Settings
from worker.stream.batch import Batch
from worker.stream.epochs import Epochs
from worker.stream.in_hand import InHand
from worker.stream.intake import Intake
from worker.stream.outbox import Outbox
from worker.stream.outcome import OutcomesOf
from worker.stream.screener import Screener
from worker.stream.traces import BatchTraces
from worker.stream.watchdog import Watchdog
from worker.telemetry.health import Health
from worker.telemetry.labels import Station
from worker.telemetry.logs import where
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

STALLED_S = 60.0  # a polling thread that has not polled for this long is not alive
SILENT_S = 15.0  # a worker that no broker has answered for this long is not ready; it is alive all the same
HUNG_S = 300.0  # nor is an outbox in one commit: a transaction's three steps give up after 60 s each
JOIN_S = 2.0
SPANS_S = 1.0  # for the last spans, when everything is committed

Batches = queue.SimpleQueue[Batch | None]  # None: no more batches will come


class App:
    """One worker. Call `run` once; any thread or signal handler may call `stop`."""

    def __init__(
        self,
        settings: Settings,
        intake_of: Callable[[Epochs, Batches], Intake],
        screener: Screener,
        outcomes: OutcomesOf,
        in_hand: InHand,
        metrics: Metrics,
        tracer: Tracer | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._outcomes = outcomes
        self._screener = screener
        self._epochs = Epochs()
        self._to_screen: Batches = queue.SimpleQueue()
        self._to_commit: Batches = queue.SimpleQueue()
        self._intake = intake_of(self._epochs, self._to_screen)
        self._in_hand = in_hand
        self._tracer = tracer
        pace = self._intake.pace
        self._watchdog = Watchdog(settings.watchdog_floor_s, settings.watchdog_factor, pace)
        self._failure: FatalError | None = None
        self._draining = False  # a plain flag like the intake's, since a signal handler sets it
        self._committing_since: float | None = None
        self._silence_s: Callable[[], float] = lambda: 0.0
        self._access = AccessWatch(settings, metrics, self.stop)
        self.ready = self._intake.joined

    @property
    def ended_to_renew(self) -> bool:
        """Whether it ended by itself, since PEM files were renewed: it is to be started again."""
        return self._access.renewed

    def run(self, consumer_of: Callable[[RebalanceListener], Consumer], producer: Producer) -> None:
        """Screen until `stop`. Raises FatalError, the error of the station that failed first."""
        listen = self._settings.health_host, self._settings.health_port
        with Health(*listen, self._metrics, self._live, self._ready) as health, self._access:
            consumer = consumer_of(self._intake)
            self._silence_s = consumer.silence_s
            traces = BatchTraces(self._tracer, self._settings.own_group)
            outbox = Outbox(self._outcomes, consumer, producer, self._epochs, self._metrics, traces)
            stations = [
                self._station("screener", self._screen, self._to_screen, self._to_commit),
                self._station("outbox", self._committing(outbox), self._to_commit, None),
            ]
            self._watchdog.start()
            log.info("worker_started", health_port=health.port, group=self._settings.own_group)
            try:
                self._intake.run(consumer)
                self._drain(consumer, stations)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the other stations must stop
                self._fail("intake", error)
            finally:
                self._draining = True
                if self._failure is not None:
                    self._intake.stop(0)  # a revocation during the close need not wait for batches
                    stations[0].join(JOIN_S)  # a call that ends before the close withdraws its note
                consumer.close()
                producer.close()
                self._in_hand.close()
                self._watchdog.close()
                if self._tracer is not None:
                    self._tracer.close(SPANS_S)
        if self._failure is not None:
            raise self._failure
        log.info("worker_stopped")

    def stop(self) -> None:
        """Begin the drain. Idempotent."""
        self._draining = True
        self._intake.stop(self._settings.drain_s)

    def _station(
        self, name: Station, work: Callable[[Batch], None], source: Batches, sink: Batches | None
    ) -> threading.Thread:
        def loop() -> None:
            try:
                while (batch := source.get()) is not None:
                    started = time.monotonic()
                    work(batch)
                    self._metrics.observe(
                        "mimamori_station_seconds", time.monotonic() - started, station=name
                    )
                    if sink is not None:
                        sink.put(batch)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the other stations must stop
                self._fail(name, error)
            finally:
                if sink is not None:
                    sink.put(None)

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        return thread

    def _screen(self, batch: Batch) -> None:
        """Screen a batch, unless it is void: the outbox drops those, and their records are read again."""
        if not self._epochs.is_current(batch.epoch):
            return
        if batch.alone:
            with self._watchdog.watching(batch):
                self._screener.prove()
        with self._in_hand.holding(batch), self._watchdog.watching(batch):
            began = time.monotonic()
            self._screener.screen(batch)
            batch.screened = began, time.monotonic()
            self._intake.pace.note(batch.estimated_tokens, batch.screened[1] - began)

    def _committing(self, outbox: Outbox) -> Callable[[Batch], None]:
        def commit(batch: Batch) -> None:
            self._committing_since = time.monotonic()
            outbox.commit(batch)
            self._committing_since = None

        return commit

    def _fail(self, station: str, error: BaseException) -> None:
        """Keep the first failure, void the batches in flight, and stop reading."""
        if not isinstance(error, FatalError):
            # Leave out the error's own message and traceback, which could quote a text.
            error = FatalError(
                f"the {station} failed unexpectedly, {type(error).__name__} at {where(error)}: a fault of "
                "ours; nothing it held was committed, and it will be read again"
            )
        log.error("station_failed", station=station, error=str(error))
        self._failure = self._failure or error
        self._epochs.end_epoch()
        self._intake.stop(0)

    def _drain(self, consumer: Consumer, stations: list[threading.Thread]) -> None:
        """Stay in the group until every batch in flight is committed, or the deadline passes."""
        if self._failure is not None:
            return
        deadline = self._intake.drain_until

        def done() -> bool:
            idle = not any(thread.is_alive() for thread in stations)
            return idle or self._failure is not None or time.monotonic() >= deadline

        self._intake.keep_membership(consumer, done)
        if any(thread.is_alive() for thread in stations):
            log.warning("drain_deadline_passed", in_flight=self._epochs.in_flight)
            self._epochs.end_epoch()
            stations[-1].join(JOIN_S)  # a commit that has begun may still succeed

    def _live(self) -> str | None:
        now = time.monotonic()
        if (silent := now - self._intake.last_poll) > STALLED_S:
            return f"polling stopped {silent:.0f} s ago"
        since = self._committing_since
        if since is not None and now - since > HUNG_S:
            return f"a commit has not ended for {now - since:.0f} s"
        return None

    def _ready(self) -> str | None:
        if self._draining:
            return "draining"
        if (silent := self._silence_s()) >= SILENT_S:
            return f"Kafka has not answered for {silent:.0f} s"
        return None if self._intake.joined.is_set() else "waiting for an assignment"
