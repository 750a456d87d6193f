"""The last records of a topic, read-committed, without a group and committing nothing."""

import heapq
import time
from typing import Any, Final

import confluent_kafka as ck

from worker.errors import BrokerError
from worker.kafka.client import check_may_read, log_error, make
from worker.kafka.fetched import to_record
from worker.kafka.record import Record

TIMEOUT_S: Final = 10.0
_QUIET_S: Final = 30.0  # without a record, before it is given up
_AT_ONCE: Final = 500


def latest(config: dict[str, Any], topic: str, count: int) -> list[Record]:
    """Up to `count` records that stand last in `topic`, by timestamp over its partitions, the oldest first.

    What transactions left behind takes offsets too, so that of a topic written in small ones there are fewer.
    Raises BrokerError: Kafka is not there, the topic is not or may not be read, or nothing comes any more.
    """
    consumer = make(
        ck.Consumer,
        {
            "group.id": "mimamori-reader",  # required by the client; nothing is ever committed to it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "error_cb": log_error,
            **config,
            "isolation.level": "read_committed",
        },
    )
    try:
        consumer.assign([_tail(consumer, topic, number, count) for number in _partitions(consumer, topic)])
        return _read(consumer, topic, count, config)
    except ck.KafkaException as error:
        raise BrokerError(f"cannot read {topic}: {error.args[0].name()}; is Kafka up?") from None
    finally:
        consumer.close()


def _read(consumer: ck.Consumer, topic: str, count: int, config: dict[str, Any]) -> list[Record]:
    open_ = {place.partition for place in consumer.assignment()}
    newest: list[tuple[int, int, int, Record]] = []
    heard = time.monotonic()
    while open_:
        for message in consumer.consume(_AT_ONCE, 0.1):
            error = message.error()
            if error is None:
                record = to_record(message)
                entry = (record.timestamp_ms, record.partition, record.offset, record)
                (heapq.heappush if len(newest) < count else heapq.heappushpop)(newest, entry)
                heard = time.monotonic()
            elif error.code() == ck.KafkaError._PARTITION_EOF:
                open_.discard(message.partition())
            else:
                check_may_read(error, topic, config)
        if time.monotonic() - heard > _QUIET_S:
            raise BrokerError(
                f"{topic} was not read to its end: nothing came for {_QUIET_S:.0f} s; is Kafka up?"
            )
    return [record for *_, record in sorted(newest)]


def _partitions(consumer: ck.Consumer, topic: str) -> list[int]:
    metadata = consumer.list_topics(topic, TIMEOUT_S).topics[topic]
    if metadata.error is not None:
        raise BrokerError(f"topic {topic} is not there: see `mimamori topics list`")
    return sorted(metadata.partitions)


def _tail(consumer: ck.Consumer, topic: str, number: int, count: int) -> ck.TopicPartition:
    low, high = consumer.get_watermark_offsets(ck.TopicPartition(topic, number), TIMEOUT_S)
    return ck.TopicPartition(topic, number, max(low, high - count))
