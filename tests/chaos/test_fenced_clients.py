"""A worker that another has taken the place of ends with one clear line, whichever client hears it first."""

import time
import uuid

import confluent_kafka as ck
import pytest

from schemas import load_topics
from tests.fakes.brokers import Listener
from worker.errors import BrokerError
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.topics import apply_topics


@pytest.fixture
def prefix(kafka_bootstrap: str) -> str:
    prefix = f"{uuid.uuid4().hex[:8]}."
    definitions = load_topics(prefix, partitions=1, replication_factor=1)
    apply_topics({"bootstrap.servers": kafka_bootstrap}, definitions)
    return prefix


def test_a_consumer_fenced_by_its_instance_id_stops_the_worker(kafka_bootstrap: str, prefix: str) -> None:
    config = {
        "bootstrap.servers": kafka_bootstrap,
        "group.instance.id": "one",
        "session.timeout.ms": 3_000,
        "heartbeat.interval.ms": 200,
    }
    listener = Listener()
    first = KafkaConsumer(config, prefix, f"{prefix}messages", listener)
    deadline = time.monotonic() + 20
    while not listener.owned:
        assert time.monotonic() < deadline
        first.poll(1, 0.1)
    second = KafkaConsumer(config, prefix, f"{prefix}messages", Listener())

    def poll_both() -> None:
        while time.monotonic() < deadline:
            second.poll(1, 0.05)
            first.poll(1, 0.05)

    with pytest.raises(BrokerError, match="instance"):
        poll_both()
    second.close()


def test_a_producer_that_was_fenced_closes_in_silence(kafka_bootstrap: str, prefix: str) -> None:
    config = {"bootstrap.servers": kafka_bootstrap}
    first = KafkaProducer(config, prefix)
    first._producer.begin_transaction()
    first._producer.produce(f"{prefix}labels", b"v")
    first._producer.flush(10)
    second = KafkaProducer(config, prefix)
    with pytest.raises(ck.KafkaException, match="_FENCED"):
        first._producer.commit_transaction(10)
    first.close()
    second.close()
