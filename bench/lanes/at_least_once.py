"""This worker's clients without transactions, to see what exactly-once costs. Never used by the worker.

Produce, flush, then commit the offsets through the consumer: a crash between the two repeats labels, and a
worker whose partitions have moved on still writes.
"""

from collections.abc import Sequence
from typing import Any

import confluent_kafka as ck

from worker.batch import Offsets, Outbound
from worker.kafka import Membership
from worker.kafka.consumer import KafkaConsumer


class CommittingConsumer(KafkaConsumer):
    """A consumer that also commits."""

    def commit(self, offsets: Offsets) -> None:
        """Tell the group's coordinator; its answer is not awaited."""
        positions = [ck.TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        self._consumer.commit(offsets=positions, asynchronous=True)


class AtLeastOnceProducer:
    """A `worker.kafka.Producer` with neither transaction nor fence."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.consumer: CommittingConsumer | None = None  # it is made after the producer
        self._producer = ck.Producer(
            {
                "enable.idempotence": True,
                "linger.ms": 2,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "message.max.bytes": 8 << 20,
                "queue.buffering.max.messages": 500_000,
                **config,
            }
        )

    def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        """Deliver everything, then commit."""
        del membership
        for record in outbound:
            self._producer.produce(record.topic, record.value, record.key, headers=record.headers)
        self._producer.flush()
        if self.consumer is not None:
            self.consumer.commit(offsets)

    def close(self) -> None:
        """Whatever is queued was flushed."""
        self._producer.flush(1)
