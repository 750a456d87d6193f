"""A partition whose offsets wait for a dead worker's transaction begins where it was left, whoever joins."""

import time
import uuid

import confluent_kafka as ck

from schemas import load_topics
from tests.fakes.brokers import Listener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.topics import apply_topics

SENT, LEFT_AT = 120, 80


def test_a_member_that_joins_while_offsets_are_unstable_repeats_nothing(kafka_bootstrap: str) -> None:
    """Left to itself, librdkafka gives up waiting when the group changes, and begins at the topic's start."""
    prefix = f"{uuid.uuid4().hex[:8]}."
    topic = f"{prefix}messages"
    config = {"bootstrap.servers": kafka_bootstrap}
    apply_topics(config, load_topics(prefix, partitions=2, replication_factor=1))
    feed = ck.Producer(config)
    for n in range(2 * SENT):
        feed.produce(topic, str(n).encode(), partition=n % 2)
    assert feed.flush(20) == 0
    quick = {**config, "session.timeout.ms": 1200, "heartbeat.interval.ms": 200}
    dead = KafkaConsumer(quick, prefix, topic, Listener())
    deadline = time.monotonic() + 60
    while dead.membership() is None:
        assert time.monotonic() < deadline
        dead.poll(500, 0.1)
    short = {"transaction.timeout.ms": 3000, "message.timeout.ms": 3000}
    producer = KafkaProducer(config | short, f"{prefix}dead")
    producer.commit([], {(topic, 0): LEFT_AT, (topic, 1): LEFT_AT}, dead.membership())
    producer._producer.begin_transaction()
    open_at = [ck.TopicPartition(topic, number, LEFT_AT + 10) for number in range(2)]
    producer._producer.send_offsets_to_transaction(open_at, dead.membership().group, 10)
    dead.close()  # its transaction stays open until its timeout
    owner = Listener()
    members = [KafkaConsumer(quick, prefix, topic, owner)]
    first: dict[int, int] = {}
    while first.keys() != {0, 1}:
        assert time.monotonic() < deadline, f"only {first} was read"
        for member in members:
            for record in member.poll(500, 0.05):
                first.setdefault(record.partition, record.offset)
        if len(owner.owned) == 2 and len(members) == 1:
            members.append(KafkaConsumer(quick, prefix, topic, Listener()))
    for member in members:
        member.close()
    assert first == {0: LEFT_AT, 1: LEFT_AT}
