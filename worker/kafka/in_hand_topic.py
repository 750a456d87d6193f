"""Stores the notes of what the model is reading in Apache Kafka: in one compacted topic of one partition.

It has a producer of its own without transactions, since a note must be visible before the model is called,
while the outbox may have a transaction open. The producer is idempotent, so that two notes of a partition
never change their order.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import confluent_kafka as ck

from schemas.rights import Right
from worker.errors import BrokerError, RetryableError
from worker.kafka.client import log_error, make
from worker.kafka.record import Partition
from worker.kafka.rights import refused

READ_S = 10.0
WRITE_S = 60.0
CLOSE_S = 1.0
CHUNK = 5000
PARTITION = 0

_GONE = {ck.KafkaError.UNKNOWN_TOPIC_OR_PART, ck.KafkaError._UNKNOWN_TOPIC}
# These settings are for the consumer that reads messages; the one here joins no group.
_NOT_OURS = {
    "group.instance.id",
    "group.remote.assignor",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
}


class KafkaInHandTopic:
    """The `worker.kafka.InHandTopic` on Apache Kafka. One thread may read while another writes."""

    def __init__(self, config: dict[str, Any], group: str, topic: str) -> None:
        self._config = {name: value for name, value in config.items() if name not in _NOT_OURS}
        self._group = group
        self._topic = topic
        self._failed: ck.KafkaError | None = None
        self._producer = make(
            ck.Producer,
            {
                "client.id": "mimamori-in-hand",
                "linger.ms": 0,  # the model waits for the acknowledgement
                "message.timeout.ms": int(WRITE_S * 1000),
                "error_cb": log_error,
                "delivery.report.only.error": True,
                "on_delivery": self._note_failure,
                **self._config,
                "enable.idempotence": True,
            },
        )

    def read(self, partitions: Sequence[Partition]) -> dict[Partition, bytes]:
        """See `worker.kafka.InHandTopic.read`.

        Each call makes a new client: so small a topic is read in milliseconds, and rebalances are rare.
        """
        wanted = {self._key(place): place for place in partitions}
        found: dict[Partition, bytes] = {}
        consumer = make(
            ck.Consumer,
            {
                "client.id": "mimamori-in-hand",
                "fetch.wait.max.ms": 10,
                "error_cb": log_error,
                **self._config,
                "group.id": self._group,  # the client requires one; it neither joins nor commits
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            },
        )
        try:
            self._check(consumer)
            consumer.assign([ck.TopicPartition(self._topic, PARTITION, ck.OFFSET_BEGINNING)])
            deadline = time.monotonic() + READ_S
            while True:
                for message in consumer.consume(CHUNK, 0.01):
                    if (error := message.error()) is not None:
                        if error.code() == ck.KafkaError._PARTITION_EOF:
                            return found
                        if error.code() == ck.KafkaError.TOPIC_AUTHORIZATION_FAILED:
                            raise refused(self._config, Right("topic", self._topic, "Read"))
                        continue
                    place = wanted.get(message.key() or b"")
                    if place is not None:
                        found[place] = message.value() or b""
                if time.monotonic() > deadline:
                    raise RetryableError(f"{self._topic} was not read within {READ_S:.0f} s")
        finally:
            consumer.close()

    def write(self, notes: Mapping[Partition, bytes]) -> None:
        """See `worker.kafka.InHandTopic.write`."""
        for place, note in notes.items():
            self._producer.produce(self._topic, note, self._key(place), partition=PARTITION)
        self._producer.poll(0)

    def settle(self) -> None:
        """See `worker.kafka.InHandTopic.settle`."""
        left = self._producer.flush(WRITE_S)
        if self._failed and self._failed.code() == ck.KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise refused(self._config, Right("topic", self._topic, "Write"))
        if self._failed is not None or left:
            code = self._failed.name() if self._failed else "no answer"
            raise BrokerError(
                f"cannot write down in {self._topic} what the model is about to read ({code}): is Kafka up? "
                "Check the topic with `mimamori topics list`"
            )

    def close(self) -> None:
        """See `worker.kafka.InHandTopic.close`."""
        self._producer.flush(CLOSE_S)

    def _key(self, place: Partition) -> bytes:
        topic, number = place
        return f"{self._group}/{topic}/{number}".encode()

    def _check(self, consumer: ck.Consumer) -> None:
        """Check that the topic exists and may be read, since a consumer would silently wait for it."""
        try:
            error = consumer.list_topics(self._topic, READ_S).topics[self._topic].error
        except ck.KafkaException as failure:
            raise RetryableError(f"cannot look for {self._topic}: {failure.args[0].name()}") from None
        if error is not None and error.code() in _GONE:
            raise BrokerError(f"topic {self._topic} is not there: run `mimamori topics apply`")
        if error is not None and error.code() == ck.KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise refused(
                self._config, Right("topic", self._topic, "Read"), Right("topic", self._topic, "Write")
            )

    def _note_failure(self, error: ck.KafkaError | None, _: ck.Message) -> None:
        self._failed = error or self._failed
