"""The broker of each contract test: in memory, and Apache Kafka under both group protocols."""

from collections.abc import Iterator

import pytest

from tests.fakes.brokers import ApacheKafka, Broker, InMemory, Listener
from worker.kafka import Consumer


@pytest.fixture(params=["memory", "classic", "consumer"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """In memory, or Apache Kafka with one of its two group protocols."""
    if request.param == "memory":
        yield InMemory()
        return
    kafka = ApacheKafka(request.getfixturevalue("kafka_bootstrap"), request.param)
    yield kafka
    kafka.close()


@pytest.fixture
def consumer(broker: Broker) -> Iterator[Consumer]:
    consumer = broker.consumer(Listener())
    yield consumer
    consumer.close()
