"""A record whose offset its producer made up: reading goes on where it stands, also where a pause follows."""

import time
import uuid

import pytest

import schemas
from tests.fakes.brokers import Listener
from tests.fakes.raw_kafka import RawProducer, RawRecord, batch_bytes, batch_of, record_bytes
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.record import Record
from worker.kafka.topics import apply_topics
from worker.settings import GroupProtocol

VALUE = b"quiet evening"
LIES = 50


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_reading_goes_on_where_the_record_stands(
    kafka_bootstrap: str, protocol: GroupProtocol, *, paused: bool
) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    topic = f"{prefix}messages"
    config = {"bootstrap.servers": kafka_bootstrap}
    apply_topics(config, schemas.load_topics(prefix, replication_factor=1, partitions=1))
    lying = batch_bytes(record_bytes(RawRecord(VALUE), 7) + record_bytes(RawRecord(VALUE), 8), 2)
    with RawProducer(kafka_bootstrap) as producer:
        for _ in range(LIES):
            assert not producer.send(topic, 0, batch_of([RawRecord(VALUE)]))
            assert not producer.send(topic, 0, lying)
    consumer = KafkaConsumer(config, prefix, topic, Listener(), protocol)
    read: list[Record] = []
    deadline = time.monotonic() + 60
    while len(read) < 3 * LIES:
        assert time.monotonic() < deadline, f"{len(read)} were read"
        read += consumer.poll(500, 0.1)
        if paused:
            consumer.pause()
            read += consumer.poll(500, 0.0)
            consumer.resume()
    consumer.close()
    assert [record.offset for record in read] == list(range(3 * LIES))
    assert sum(bool(record.fault) for record in read) >= LIES
