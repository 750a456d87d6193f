"""A commit after the death of the group's coordinator finds the next one."""

import threading

import confluent_kafka as ck
import pytest

from tests.fakes.mock_kafka import HERE, MockKafka
from worker.kafka.membership import KafkaMembership
from worker.kafka.offset_note import OffsetNote
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Outbound


@pytest.mark.skipif(not HERE, reason="this librdkafka is not in a file of its own")
def test_offsets_are_sent_to_the_next_coordinator_while_the_last_one_is_dead() -> None:
    # Without the setting that ends it, the call waits for the dead broker: librdkafka#5511, #5456.
    brokers = MockKafka(3)
    brokers.topic("messages", leader=2)
    brokers.topic("labels", leader=3)
    brokers.coordinate("transaction", "a", 2)
    brokers.coordinate("group", "g", 1)
    config = {"bootstrap.servers": brokers.bootstrap}
    member = ck.Consumer({**config, "group.id": "g"})
    membership = KafkaMembership(member.consumer_group_metadata(), OffsetNote(""))
    producer = KafkaProducer(config, "a")
    outcome = [Outbound("labels", b"k", b"v", [])]
    producer.commit(outcome, {("messages", 0): 1}, membership)
    brokers.down(1)
    brokers.coordinate("group", "g", 3)
    ended = threading.Event()

    def commit() -> None:
        producer.commit(outcome, {("messages", 0): 2}, membership)
        ended.set()

    threading.Thread(target=commit, daemon=True).start()
    assert ended.wait(90), "the commit never returned"
    producer.close()
    member.close()
