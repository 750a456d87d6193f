"""Reads topics as a platform would: read-committed, without a group or commits."""

import time
from collections.abc import Iterable
from typing import Any, Self

import confluent_kafka as ck

from worker.errors import BrokerError
from worker.kafka.client import log_error, make
from worker.kafka.fetched import consume, to_record
from worker.kafka.record import Record

TIMEOUT_S = 10.0
RETRY_S = 0.05


class Reader:
    """Reads every partition of some topics, from their beginning or from now on. A context manager."""

    def __init__(self, config: dict[str, Any], topics: Iterable[str], *, from_beginning: bool) -> None:
        self._consumer = make(
            ck.Consumer,
            {
                "group.id": "mimamori-reader",  # the client requires one; nothing is committed under it
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "error_cb": log_error,
                **config,
                "isolation.level": "read_committed",
            },
        )
        self._consumer.assign(
            [
                ck.TopicPartition(topic, number, self._start(topic, number, from_beginning=from_beginning))
                for topic in topics
                for number in self._partitions(topic)
            ]
        )

    def poll(self, limit: int = 500, timeout_s: float = 0.1) -> list[Record]:
        """Read up to `limit` records, in offset order per partition."""
        messages = consume(self._consumer, limit, timeout_s)
        return [to_record(message) for message in messages if message.error() is None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def _partitions(self, topic: str) -> list[int]:
        try:
            metadata = self._consumer.list_topics(topic, TIMEOUT_S).topics[topic]
        except ck.KafkaException as error:
            raise BrokerError(f"cannot read {topic}: {error.args[0].name()}; is Kafka up?") from None
        if metadata.error is not None:
            raise BrokerError(f"topic {topic} is not there: run `mimamori topics apply`")
        return sorted(metadata.partitions)

    def _start(self, topic: str, number: int, *, from_beginning: bool) -> int:
        """The offset to start at.

        It looks the offset up, since OFFSET_END would mean the end at the first fetch and not now. It asks
        again for a while where that fails, since a new topic has no leader yet.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(ck.TopicPartition(topic, number), TIMEOUT_S)
            except ck.KafkaException as error:
                if time.monotonic() > deadline:
                    raise BrokerError(f"cannot read {topic}: {error.args[0].name()}; is Kafka up?") from None
                time.sleep(RETRY_S)
            else:
                return low if from_beginning else high
