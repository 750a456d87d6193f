"""The broker of each contract test: in memory, and Apache Kafka under both group protocols."""

from collections.abc import Iterator

import pytest

from tests.fakes.brokers import ApacheKafka, Broker, InMemory, Listener
from worker.kafka import Consumer


@pytest.fixture(params=["memory", "classic", "consumer"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """In memory, or Apache Kafka with one of its two group protocols."""
    if request.param == "memory":
        return InMemory()
    return ApacheKafka(request.getfixturevalue("kafka_bootstrap"), request.param)


@pytest.fixture
def consumer(broker: Broker) -> Iterator[Consumer]:
    consumer = broker.consumer(Listener())
    yield consumer
    consumer.close()
