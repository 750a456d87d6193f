"""Station 3: commits outcomes and consumed offsets, in one transaction per batch.

    1. turn every entry into its outcome                     (outcome.py)
    2. ask the consumer for its membership, and *then* check that the batch's epoch is still current
    3. one transaction: produce the outcomes, send the offsets under that membership, commit

The order in step 2 matters. A membership that is taken after the check could be of a newer generation, in
which the batch's partitions belong to another worker. The broker refuses one that was taken before, unless
the partitions are still this worker's: see `epochs.py`.
"""

import structlog

from worker.errors import RetryableError
from worker.kafka import Consumer, Producer
from worker.stream.batch import Batch
from worker.stream.epochs import Epochs
from worker.stream.outcome import Outcome, OutcomesOf
from worker.stream.tally import tally
from worker.stream.traces import BatchTraces
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()


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
        tally(self._metrics, events, batch)
