"""Three brokers, of which one is down: what a worker asks must not wait for that one to come back.

A soak on three brokers takes minutes, and is a command:

    mimamori soak --brokers 3 --records 1000000 --kills 100
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mimamori.sandbox import kafka_wire
from mimamori.sandbox.kafka_cluster import KafkaCluster, nodes_of
from mimamori.sandbox.kafka_server import KafkaServer
from mimamori.soak.clients import Housekeeping
from schemas import load_topics, topic_names
from schemas.events import Message
from worker.errors import RetryableError
from worker.kafka.topic_watch import TopicWatch
from worker.kafka.topics import apply_topics


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    running = KafkaCluster(folder, nodes_of(3), temporary=True, echo=lambda _: None)
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.mark.timeout(240)  # it waits for what never comes where a broker that is down is asked for ever
def test_topics_are_made_and_asked_for_whichever_broker_is_down(cluster: KafkaCluster) -> None:
    config = {"bootstrap.servers": cluster.bootstrap}
    states = apply_topics(config, load_topics("three.", partitions=3))
    assert all(state.created and not state.differences for state in states)
    messages = topic_names("three.")[Message]
    house = Housekeeping(cluster.bootstrap)
    assert sorted(house.leaders(messages)) == [1, 2, 3]
    watch = TopicWatch(config, messages)
    first = watch.topic_id(10.0)
    assert first
    for number in (1, 2):
        with down(cluster, number) as others:
            # It asks while the others still take that one for alive, and may take it for the controller.
            while id_of(watch) != first or number in house.leaders(messages):
                time.sleep(0.1)
            while number in controllers(others):
                time.sleep(0.1)


@contextmanager
def down(cluster: KafkaCluster, number: int) -> Iterator[list[KafkaServer]]:
    """Without this broker; gives the others."""
    broker = cluster.brokers[number - 1]
    broker.kill()
    try:
        yield [other for other in cluster.brokers if other is not broker]
    finally:
        broker.launch()
        broker.await_ready(len(cluster.brokers))


def id_of(watch: TopicWatch) -> str:
    try:
        return watch.topic_id(2.0)
    except RetryableError:
        return ""


def controllers(brokers: list[KafkaServer]) -> set[int]:
    return {kafka_wire.controller_of(broker.port) for broker in brokers}
