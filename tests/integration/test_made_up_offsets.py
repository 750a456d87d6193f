"""A record whose offset its producer made up: reading goes on where it stands, also where a pause follows."""

import time
import uuid
from contextlib import closing

import pytest

import schemas
from tests.fakes.brokers import Listener
from tests.fakes.raw_kafka import RawProducer, RawRecord, batch_bytes, batch_of, record_bytes
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.record import Record
from worker.kafka.topics import apply_topics
from worker.settings import GroupProtocol

VALUE = b"quiet evening"
ROUNDS = 5
PATIENCE_S = 60.0


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_reading_goes_on_where_the_record_stands(
    kafka_bootstrap: str, protocol: GroupProtocol, *, paused: bool
) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    topic = f"{prefix}messages"
    config = {"bootstrap.servers": kafka_bootstrap}
    apply_topics(config, schemas.load_topics(prefix, replication_factor=1, partitions=1))
    honest = batch_of([RawRecord(VALUE)])
    lying = batch_bytes(record_bytes(RawRecord(VALUE), 7) + record_bytes(RawRecord(VALUE), 8), 2)
    read: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    with (
        RawProducer(kafka_bootstrap) as producer,
        closing(KafkaConsumer(config, prefix, topic, Listener(), protocol)) as consumer,
    ):
        for number in range(1, ROUNDS + 1):
            for batch in (honest, lying):
                while producer.send(topic, 0, batch):  # the topic is new
                    assert time.monotonic() < deadline, "no leader took it"
            while len(read) < 3 * number:
                assert time.monotonic() < deadline, f"{len(read)} were read"
                read += consumer.poll(500, 0.1)
                if paused:
                    consumer.pause()
                    read += consumer.poll(500, 0.0)
                    consumer.resume()
    assert [record.offset for record in read] == list(range(3 * ROUNDS))
    assert [bool(record.fault) for record in read] == [False, True, True] * ROUNDS
