"""Two waits of a second in librdkafka 2.16 that no setting ends, and the request that ends each.

Used by the thread that polls, outside of the client's callbacks: asking for metadata in one of them aborts
the process (confluent-kafka 2.16, `CallState_get`).
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import confluent_kafka as ck

from worker.kafka.record import Partition

METADATA_TIMEOUT_S: Final = 0.5
ENDS_TIMEOUT_S: Final = 0.05  # the request is on its way at once, and its answer is of no use


def end_join_wait(consumer: ck.Consumer, topic: str) -> None:
    """After a step of a classic rebalance, let the client take the next step at once.

    A rebalance in which partitions move has two steps, and a client joins its group once a second at most, so
    that those partitions had no reader for a second. The client forgets when it joined last as soon as it is
    told of a topic (`rd_kafka_parse_Metadata`). bench/handover.py shows both.
    """
    with suppress(ck.KafkaException):  # then the next step takes its second
        consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S)


def end_fetch_wait(consumer: ck.Consumer, partitions: Iterable[Partition]) -> None:
    """After a pause, ours or the client's own in a rebalance, let the client fetch at once.

    Its threads, one for each broker, sleep for up to a second (`rd_kafka_max_block_ms`) while they have
    nothing to fetch, and nothing wakes them when partitions are resumed. A request to the leaders does.
    Where `client.rack` lets a client fetch from another replica, that one's thread still sleeps on.
    bench/resumed.py shows the wait.
    """
    ends = [ck.TopicPartition(*partition, ck.OFFSET_END) for partition in partitions]
    if ends:
        with suppress(ck.KafkaException):  # then the threads wake up by themselves
            consumer.offsets_for_times(ends, timeout=ENDS_TIMEOUT_S)
