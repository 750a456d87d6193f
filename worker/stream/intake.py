"""Station 1: polls records, has `reception.py` decode them and look them up in the cache, and fills batches.

It owns the polling thread. It never waits for the model or for a commit: when enough batches are in flight,
it pauses fetching and goes on polling. So the worker stays in its group however long a batch takes. The
intake commits nothing and guarantees nothing about delivery, which is the task of the outbox's transaction.
"""

import math
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from worker.errors import RetryableError
from worker.kafka import Consumer, Look, Restart
from worker.kafka.record import Partition, Record
from worker.settings import Settings
from worker.stream.backlog import Backlog
from worker.stream.batch import Batch, Entry
from worker.stream.epochs import Epochs
from worker.stream.in_hand import InHand
from worker.stream.pace import Pace
from worker.stream.reception import Reception
from worker.stream.restarts import report
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

IDLE_POLL_S = 0.1
SHORTEST_POLL_S = 0.005  # limits how often to poll while an overdue batch waits for the model
CHUNK = 500  # records per poll; each poll makes one round trip to the cache
BACKOFF_S = (0.05, 5.0)  # first and longest pause before voided records are read again
LAG_EVERY_S = 5.0
SETTLED_S = 5.0  # after a joining worker got no partition: others may still be giving some up
# With the protocol `consumer`, nobody is told of an assignment without partitions (librdkafka 2.16).
SILENT_JOIN_S = 30.0


class Intake:
    """Fills batches, and is the RebalanceListener: `poll` serves rebalances on this thread."""

    def __init__(
        self,
        settings: Settings,
        reception: Reception,
        epochs: Epochs,
        metrics: Metrics,
        batches: "queue.SimpleQueue[Batch | None]",
        in_hand: InHand,
    ) -> None:
        self._batches = batches  # never holds more than `max_batches`, as no more are in flight
        self._settings = settings
        self._reception = reception
        self._epochs = epochs
        self._metrics = metrics
        self._in_hand = in_hand
        self._stopping = False  # a plain flag, since a signal handler sets it and must not take a lock
        self._open: Batch | None = None
        self._waiting: deque[Entry] = deque()  # polled but not in flight yet: the records of one poll at most
        self._held: deque[Record] = deque()  # polled, and of a schema that the registry is still asked for
        self._epoch = epochs.epoch  # the epoch for which it last rewound
        self._assigned: set[Partition] = set()
        self._lag_due = 0.0
        self._joined_at = math.inf  # when it is a member though it has no partition; monotonic seconds
        self._drain_until = math.inf  # monotonic seconds
        self.pace = Pace()  # the thread that runs the model adds its measurements
        self._backlog = Backlog(self.pace)
        self.joined = threading.Event()
        self.last_poll = time.monotonic()

    @property
    def drain_until(self) -> float:
        """The deadline for batches in flight, in monotonic seconds; infinity before `stop`."""
        return self._drain_until

    def stop(self, within_s: float = math.inf) -> None:
        """Stop reading after the current poll; the open batch is still handed on.

        Batches in flight have `within_s` seconds from now to be committed. The earliest deadline of several
        calls holds.
        """
        self._drain_until = min(self._drain_until, time.monotonic() + within_s)
        self._stopping = True

    def run(self, consumer: Consumer) -> None:
        """Read and hand on batches until `stop`, and then one None. Call it on the polling thread."""
        try:
            while not self._stopping:
                self._step(consumer)
            self._close_batch()
        finally:
            self._batches.put(None)

    def keep_membership(self, consumer: Consumer, until: Callable[[], bool]) -> None:
        """Poll without reading until `until()` is true, so that the worker stays in its group meanwhile."""
        consumer.pause()
        while not until():
            self._poll(consumer, 1, IDLE_POLL_S)

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """See `worker.kafka.RebalanceListener`."""
        self._in_hand.inherit(partitions)
        self._assigned |= set(partitions)
        self._report_assignment()
        # Whoever replaces workers one by one ends an old one once this one is ready. So it is not ready
        # before it has its part of the work: two rebalances in one take longer than one after the other.
        if self._assigned:
            self.joined.set()
        else:
            self._joined_at = self.last_poll + SETTLED_S

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Wait up to `revoke_s` for batches in flight. Those that do not finish are voided and read again."""
        gone = set(partitions)
        self._waiting = deque(e for e in self._waiting if e.record.place not in gone)
        self._held = deque(record for record in self._held if record.place not in gone)
        self._close_batch()
        patience = min(self._settings.revoke_s, self._drain_until - time.monotonic())
        if not self._epochs.wait_idle(max(0.0, patience)):
            log.warning("revoke_deadline_passed", in_flight=self._epochs.in_flight)
            self._epochs.end_epoch()
            if self._settings.group_protocol == "consumer":
                self._await_commit()
        self._forget(partitions)

    def _await_commit(self) -> None:
        """Wait for the end of a commit that has begun, however long: its own deadline ends the worker.

        A member may give partitions up and keep its epoch, and Kafka takes any commit under that. It is a
        member until its drain is over: then it leaves the group, which refuses the commit.
        """
        while time.monotonic() < self._drain_until and not self._epochs.wait_settled(IDLE_POLL_S):
            pass

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Void all batches in flight at once, since the partitions belong to another worker already."""
        log.warning("partitions_lost", count=len(partitions))
        self.joined.clear()  # until the group assigns it some again, or none for a while
        self._joined_at = math.inf  # the next poll may say when
        self._epochs.end_epoch()
        self._drop_open()
        self._forget(partitions)

    def restarted(self, restarts: Sequence[Restart]) -> None:
        """See `worker.kafka.RebalanceListener`."""
        self._backlog.forget([restart.partition for restart in restarts])
        report(restarts, self._metrics)

    def looked(self, look: Look) -> None:
        """See `worker.kafka.RebalanceListener`."""
        self._metrics.gauge("mimamori_partitions_without_reader", look.without_reader)
        self._metrics.count("mimamori_rejoins_total", look.joins_anew)
        self._metrics.count("mimamori_fetch_restarts_total", look.fetched_anew)

    def _step(self, consumer: Consumer) -> None:
        if not self._epochs.is_current(self._epoch):
            self._rewind(consumer)
        if self._held:
            consumer.pause()
            self._take_in(self._poll(consumer, CHUNK, 0))
            if self._held:
                self._reception.wait(self._patience())
        elif not self._waiting:
            consumer.resume()
            self._take_in(self._poll(consumer, CHUNK, self._patience()))
        elif not self._has_room(self._waiting[0].tokens, IDLE_POLL_S):
            # Pause only after that wait, since a pause discards what the client has fetched ahead.
            consumer.pause()
            self._take_in(self._poll(consumer, CHUNK, 0))
        self._fill()
        if self._open is not None and (self._waiting or self._is_due(self._open)):
            self._close_batch()  # entries that still wait find no room before this batch is done

    def _poll(self, consumer: Consumer, limit: int, timeout_s: float) -> list[Record]:
        records = consumer.poll(limit, timeout_s)
        self.last_poll = time.monotonic()
        if self.last_poll >= self._joined_at:  # there are more workers than partitions
            self.joined.set()
        elif self._joined_at == math.inf and self._settings.group_protocol == "consumer":
            self._joined_at = self.last_poll + SILENT_JOIN_S
        if self.last_poll >= self._lag_due:
            self._lag_due = self.last_poll + LAG_EVERY_S
            self._report_backlog(consumer.lag())
        return records

    def _report_backlog(self, lag: int) -> None:
        self._metrics.gauge("mimamori_lag_records", lag)
        self._metrics.gauge("mimamori_records_without_schema", len(self._held))
        waiting = sum(entry.tokens for entry in self._waiting)
        seconds = self._backlog.seconds(lag + len(self._held), waiting + self._epochs.estimated_tokens)
        if seconds is not None:
            self._metrics.late_gauge("mimamori_work_seconds", seconds)

    def _patience(self) -> float:
        if self._open is None:
            return IDLE_POLL_S
        age = time.monotonic() - self._open.opened_at
        return max(SHORTEST_POLL_S, min(IDLE_POLL_S, self._settings.max_wait_ms / 1000 - age))

    def _is_due(self, batch: Batch) -> bool:
        others = self._epochs.in_flight - 1
        if others == 0:  # nothing else is in flight, so that waiting would only cost time
            return True
        if others > 1:  # one is being read and the next one waits: a third would gain nothing
            return self._is_full(batch)
        return self._is_full(batch) or time.monotonic() - batch.opened_at >= self._settings.max_wait_ms / 1000

    def _is_full(self, batch: Batch) -> bool:
        settings = self._settings
        most = min(settings.max_tokens, self.pace.tokens_in(settings.max_batch_s))
        return batch.estimated_tokens >= most or len(batch.entries) >= settings.max_records

    def _take_in(self, records: Sequence[Record]) -> None:
        """Turn `records` into entries that wait, in order, for room in a batch.

        From the first one on whose schema is not known yet, they are held: nothing overtakes it.
        """
        if not records and not self._held:
            return
        self._metrics.count("mimamori_records_total", len(records))
        self._held += records
        ready = self._reception.ready(self._held)
        entries = self._reception.entries([self._held.popleft() for _ in range(ready)])
        self._metrics.gauge("mimamori_records_without_schema", len(self._held))
        lost = sum(e.lost_its_trace for e in entries if not e.cause and e.record.headers != [])
        self._metrics.count("mimamori_unreadable_headers_total", lost)
        self._backlog.read(entries)
        self._waiting += entries

    def _fill(self) -> None:
        """Move waiting entries into batches, as many as may be in flight."""
        while self._waiting:
            entry = self._waiting[0]
            tokens = entry.tokens
            suspect = entry.may_be_read and self._in_hand.is_suspect(entry.record)
            if self._open is not None and not self._open.takes(entry, alone=suspect):
                self._close_batch()
            # An entry with no tokens to read may always join an open batch.
            if (tokens or self._open is None) and not self._has_room(tokens, 0):
                return
            batch = self._open or self._open_batch()
            batch.add(self._waiting.popleft(), alone=suspect)
            if tokens:
                batch.estimated_tokens += tokens
                self._epochs.add(tokens)
            if self._is_full(batch):
                self._close_batch()

    def _has_room(self, tokens: int, timeout_s: float) -> bool:
        """Wait up to `timeout_s` until `tokens` more may join the open batch, or else a new one."""
        settings = self._settings
        batches = settings.max_batches + (self._open is not None)  # the open one counts as in flight
        limit = settings.max_in_flight_tokens or math.inf
        return self._epochs.wait_for_room(batches, limit, tokens, timeout_s)

    def _open_batch(self) -> Batch:
        self._epochs.open()
        self._open = Batch(self._epoch, time.monotonic())
        self._metrics.gauge("mimamori_in_flight_batches", self._epochs.in_flight)
        return self._open

    def _close_batch(self) -> None:
        if self._open is not None:
            self._metrics.observe_all("mimamori_batch_records", [len(self._open.entries)])
            self._batches.put(self._open)
            self._open = None

    def _drop_open(self) -> None:
        if self._open is not None:
            self._epochs.close(self._open.estimated_tokens)
            self._open = None
            self._metrics.count("mimamori_voided_batches_total")

    def _rewind(self, consumer: Consumer) -> None:
        """Drop the open batch and go back to the committed offsets; retry with backoff until that works."""
        self._drop_open()
        self._waiting.clear()
        self._held.clear()
        consumer.pause()
        attempt = 0
        while not self._stopping:
            resume_at = time.monotonic() + backoff_s(self._epochs.setbacks + attempt)
            attempt += 1
            while (left := resume_at - time.monotonic()) > 0:
                self._poll(consumer, 1, min(left, IDLE_POLL_S))
            epoch = self._epochs.epoch  # asked before the rewind: if this epoch ends meanwhile, rewind again
            while (
                self._epochs.committing and not self._stopping
            ):  # it may yet commit what would be read again
                self._poll(consumer, 1, IDLE_POLL_S)
            try:
                consumer.rewind()
            except RetryableError as error:
                log.warning("rewind_failed", error=str(error))
            else:
                self._epoch = epoch
                log.info("rewound_to_committed")
                return

    def _forget(self, partitions: Sequence[Partition]) -> None:
        self._in_hand.forget(partitions)
        self._backlog.forget(partitions)
        self._assigned -= set(partitions)
        self._report_assignment()

    def _report_assignment(self) -> None:
        self._metrics.gauge("mimamori_assigned_partitions", len(self._assigned))
        log.info("assignment_changed", partitions=len(self._assigned))


def backoff_s(setbacks: int) -> float:
    """The wait in seconds after `setbacks` in a row, 1 or more. It doubles each time, and has jitter."""
    first, longest = BACKOFF_S
    doubled: float = first * 2 ** min(setbacks - 1, 16)
    return min(longest, doubled) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
