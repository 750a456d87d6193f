"""This worker's Kafka clients without transactions, to measure the cost of exactly-once delivery.

The worker never uses them. They produce, flush, and then commit the offsets through the consumer. So a crash
between flush and commit repeats labels, and a worker that has lost its partitions can still write.
"""

import queue
from collections.abc import Sequence
from typing import Any

import confluent_kafka as ck

from worker.kafka import Membership, RebalanceListener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.record import Offsets, Outbound, Record


class CommittingConsumer(KafkaConsumer):
    """A consumer that also commits, at its next poll: only one thread at a time may use the client."""

    def __init__(self, config: dict[str, Any], group: str, topic: str, listener: RebalanceListener) -> None:
        super().__init__(config, group, topic, listener)
        self._delivered: queue.SimpleQueue[Offsets] = queue.SimpleQueue()

    def commit_soon(self, offsets: Offsets) -> None:
        """Note that everything before `offsets` was delivered. Any thread may call this."""
        self._delivered.put(offsets)

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Commit what was delivered, without waiting for the coordinator's answer, and then poll."""
        offsets: Offsets = {}
        while not self._delivered.empty():
            offsets |= self._delivered.get()
        if offsets:
            places = [ck.TopicPartition(topic, number, at) for (topic, number), at in offsets.items()]
            self._consumer.commit(offsets=places, asynchronous=True)
        return super().poll(limit, timeout_s)


class AtLeastOnceProducer:
    """A `worker.kafka.Producer` without transactions and without fencing."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.consumer: CommittingConsumer | None = None  # set later, because it is made after the producer
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
        """Deliver every record, then commit the offsets."""
        del membership
        for record in outbound:
            self._producer.produce(record.topic, record.value, record.key, headers=record.headers)
        self._producer.flush()
        if self.consumer is not None:
            self.consumer.commit_soon(offsets)

    def close(self) -> None:
        """Flush once more; `commit` has already flushed every record."""
        self._producer.flush(1)
