"""This worker's clients without transactions, to see what exactly-once costs. Never used by the worker.

Produce, flush, then commit the offsets through the consumer: a crash between the two repeats labels, and a
worker whose partitions have moved on still writes.
"""

import queue
from collections.abc import Sequence
from typing import Any

import confluent_kafka as ck

from worker.kafka import Membership, RebalanceListener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.record import Offsets, Outbound, Record


class CommittingConsumer(KafkaConsumer):
    """A consumer that also commits: at the next poll, since the client lets one thread in at a time."""

    def __init__(self, config: dict[str, Any], group: str, topic: str, listener: RebalanceListener) -> None:
        super().__init__(config, group, topic, listener)
        self._delivered: queue.SimpleQueue[Offsets] = queue.SimpleQueue()

    def commit_soon(self, offsets: Offsets) -> None:
        """Everything before `offsets` is delivered. Any thread."""
        self._delivered.put(offsets)

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Tell the group's coordinator what is delivered, without awaiting its answer; then poll."""
        offsets: Offsets = {}
        while not self._delivered.empty():
            offsets |= self._delivered.get()
        if offsets:
            places = [ck.TopicPartition(topic, number, at) for (topic, number), at in offsets.items()]
            self._consumer.commit(offsets=places, asynchronous=True)
        return super().poll(limit, timeout_s)


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
            self.consumer.commit_soon(offsets)

    def close(self) -> None:
        """Whatever is queued was flushed."""
        self._producer.flush(1)
