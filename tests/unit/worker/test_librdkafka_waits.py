"""What ends the client's waits of a second, on brokers that note what they are asked for.

That these requests end the waits is shown by bench/handover.py and bench/resumed.py, on Apache Kafka: it is
about time, and a test must not be.
"""

import time
from collections.abc import Callable, Iterator

import confluent_kafka as ck
import pytest

from tests.fakes.mock_kafka import HERE, MockKafka
from worker.kafka import Look, RebalanceListener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.librdkafka_waits import end_fetch_wait, end_join_wait

pytestmark = pytest.mark.skipif(not HERE, reason="the client's library is not in a file of its own here")

LIST_OFFSETS, METADATA = 2, 3
LEADER = 2
TOPIC = "messages"
PATIENCE_S = 30.0


class Steps(RebalanceListener):
    """Counts the steps of rebalances."""

    def __init__(self) -> None:
        self.taken = 0

    def assigned(self, partitions: object) -> None:  # noqa: ARG002 - whichever they are
        self.taken += 1

    def revoked(self, partitions: object) -> None: ...
    def lost(self, partitions: object) -> None: ...
    def restarted(self, restarts: object) -> None: ...
    def looked(self, look: Look) -> None: ...


@pytest.fixture
def brokers() -> MockKafka:
    kafka = MockKafka(brokers=2)
    kafka.topic(TOPIC, leader=LEADER)
    kafka.coordinate("group", "watching", 1)
    kafka.note_requests()
    return kafka


@pytest.fixture
def bare(brokers: MockKafka) -> Iterator[ck.Consumer]:
    """A client that reads, and asks for nothing by itself that has to do with offsets."""
    producer = ck.Producer({"bootstrap.servers": brokers.bootstrap})
    producer.produce(TOPIC, b"")
    producer.flush()
    client = ck.Consumer({"bootstrap.servers": brokers.bootstrap, "group.id": "watching"})
    client.assign([ck.TopicPartition(TOPIC, 0, 0)])
    deadline = time.monotonic() + PATIENCE_S
    while client.poll(0.1) is None:
        assert time.monotonic() < deadline, "the record did not come"
    brokers.asked()  # forget what came before
    yield client
    client.close()


def test_the_fetch_wait_is_ended_by_asking_the_leader(brokers: MockKafka, bare: ck.Consumer) -> None:
    end_fetch_wait(bare, [(TOPIC, 0)])
    deadline = time.monotonic() + PATIENCE_S
    asked: list[tuple[int, int]] = []
    while (LEADER, LIST_OFFSETS) not in asked:
        assert time.monotonic() < deadline, "the leader was not asked"
        asked += brokers.asked()


def test_the_join_wait_is_ended_by_metadata(brokers: MockKafka, bare: ck.Consumer) -> None:
    end_join_wait(bare, TOPIC)
    assert METADATA in [number for _, number in brokers.asked()]


def test_without_partitions_nobody_is_asked(brokers: MockKafka, bare: ck.Consumer) -> None:
    end_fetch_wait(bare, [])
    assert LIST_OFFSETS not in [number for _, number in brokers.asked()]


def test_a_leader_that_is_down_is_no_error(brokers: MockKafka, bare: ck.Consumer) -> None:
    brokers.down(1)
    brokers.down(LEADER)
    end_fetch_wait(bare, [(TOPIC, 0)])
    end_join_wait(bare, TOPIC)
    brokers.up(1)  # or closing the client would wait for it
    brokers.up(LEADER)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which waits the consumer ends, in order."""
    told: list[str] = []

    def noted(name: str, end: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            told.append(name)
            end(*arguments)

        return call

    monkeypatch.setattr("worker.kafka.consumer.end_join_wait", noted("join", end_join_wait))
    monkeypatch.setattr("worker.kafka.fetching.end_fetch_wait", noted("fetch", end_fetch_wait))
    return told


@pytest.fixture
def reader(brokers: MockKafka, ended: list[str]) -> Iterator[KafkaConsumer]:
    """A member of the group that has been assigned its partition. `ended` holds what that took."""
    steps = Steps()
    consumer = KafkaConsumer({"bootstrap.servers": brokers.bootstrap}, "watching", TOPIC, steps)
    deadline = time.monotonic() + PATIENCE_S
    while not steps.taken:
        assert time.monotonic() < deadline, "no partition was assigned"
        assert not ended
        consumer.poll(1, 0.05)
    yield consumer
    consumer.close()


@pytest.mark.usefixtures("reader")
def test_after_a_step_of_a_rebalance_both_waits_are_ended(ended: list[str]) -> None:
    assert ended == ["join", "fetch"]


def test_resuming_ends_the_fetch_wait(reader: KafkaConsumer, ended: list[str]) -> None:
    ended.clear()
    reader.resume()
    assert not ended, "nothing was paused"
    reader.pause()
    reader.resume()
    assert ended == ["fetch"]
