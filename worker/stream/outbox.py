"""Station 3: commits outcomes and consumed offsets, in one transaction per batch.

    1. turn every entry into its outcome                     (outcome.py)
    2. ask the consumer for its membership, and *then* check that the batch's epoch is still current
    3. one transaction: produce the outcomes, send the offsets under that membership, commit

The order in step 2 matters. A membership that is taken after the check could be of a newer generation, in
which the batch's partitions belong to another worker. The broker refuses one that was taken before, unless
the partitions are still this worker's: see `epochs.py`.
"""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import compress
from operator import attrgetter
from typing import Final

import structlog

from schemas.events import DeadLetter, Label, ReviewCase, ShadowLabel
from worker.errors import RetryableError
from worker.kafka import Consumer, Producer
from worker.stream.batch import Batch
from worker.stream.epochs import Epochs
from worker.stream.outcome import Outcome, OutcomesOf
from worker.stream.traces import BatchTraces
from worker.telemetry.drift import noted_of
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

OLDEST_S = 30 * 86_400.0  # far longer than any sensible retention of messages
CLOCK_SKEW_S = 60.0
_VERDICT: Final = attrgetter("task", "bundle", "verdict")
_WOULD_BE: Final = attrgetter("task", "bundle", "would_be")


class Outbox:
    """Commits batches one after the other. Used by one thread."""

    def __init__(
        self,
        outcomes: OutcomesOf,
        consumer: Consumer,
        producer: Producer,
        epochs: Epochs,
        metrics: Metrics,
        traces: BatchTraces,
    ) -> None:
        self._outcomes = outcomes
        self._consumer = consumer
        self._producer = producer
        self._epochs = epochs
        self._metrics = metrics
        self._traces = traces

    def commit(self, batch: Batch) -> None:
        """Commit a screened batch; drop it if its epoch ended. Raises FatalError: see Producer.commit."""
        try:
            self._commit(batch)
        finally:
            self._epochs.close(batch.estimated_tokens)
            self._metrics.gauge("mimamori_in_flight_batches", self._epochs.in_flight)

    def _commit(self, batch: Batch) -> None:
        membership = self._consumer.membership()
        if not self._epochs.begin_commit(batch.epoch):
            self._metrics.count("mimamori_voided_batches_total")
            return
        try:
            with self._traces.committing(batch):
                outcomes = list(self._outcomes.of(batch.entries))
                self._producer.commit([outbound for _, outbound in outcomes], batch.offsets, membership)
        except RetryableError as error:
            log.warning("batch_aborted", error=str(error), records=len(batch.entries))
            self._metrics.count("mimamori_aborts_total")
            self._epochs.end_epoch()
            return
        finally:
            self._epochs.end_commit()
        self._epochs.committed()
        self._count([event for event, _ in outcomes], batch)

    def _count(self, events: list[Outcome], batch: Batch) -> None:
        count = self._metrics.count
        labels = [event for event in events if isinstance(event, Label)]
        shadows = [event for event in events if isinstance(event, ShadowLabel)]
        verdicts = Counter(map(_VERDICT, labels)) if labels else Counter(map(_WOULD_BE, shadows))
        for (task, bundle, verdict), found in verdicts.items():
            count("mimamori_labels_total", found, verdict=verdict)
            count("mimamori_labels_by_bundle_total", found, task=task, bundle=bundle, verdict=verdict)
        for depth, found in Counter(label.depth for label in labels).items():
            count("mimamori_labels_by_depth_total", found, depth="unknown" if depth is None else str(depth))
        for kind, found in Counter(one.kind for one in events if isinstance(one, ReviewCase)).items():
            count("mimamori_review_cases_total", found, kind=kind)
        for reason, found in Counter(one.reason for one in events if isinstance(one, DeadLetter)).items():
            count("mimamori_dead_letters_total", found, reason=reason)
        if lost := sum(each.scores is not None and each.scores.highlights is None for each in batch.entries):
            count("mimamori_lost_highlights_total", lost)
        if labels:
            texts = [entry.message.text for entry in batch.entries if entry.message is not None]
            noted = [noted_of(label, len(text)) for label, text in zip(labels, texts, strict=True)]
            for bundle in dict.fromkeys(bundle for _, bundle, _ in verdicts):
                of_bundle = [label.bundle == bundle for label in labels]
                self._metrics.screened(bundle, list(compress(noted, of_bundle)))
        self._metrics.observe_all("mimamori_latency_seconds", list(_ages(batch, time.time())))


def _ages(batch: Batch, now: float) -> Iterator[float]:
    """Seconds since each record's timestamp, without records whose timestamp cannot be right.

    A producer may set any timestamp, such as 0 or next year. One such age would outweigh a million true ones.
    """
    earliest, latest = now - OLDEST_S, now + CLOCK_SKEW_S
    for entry in batch.entries:
        then = entry.record.timestamp_ms / 1000
        if earliest <= then <= latest:
            yield max(0.0, now - then)
