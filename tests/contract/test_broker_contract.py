"""What the stations rely on, run on the in-memory broker and on Apache Kafka alike."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # its types do not re-export

from tests.fakes.memory_broker import LARGEST, MemoryBroker, MemoryConsumer, MemoryProducer
from worker.batch import Outbound, Partition, Record
from worker.errors import FatalError, RetryableError
from worker.kafka import Consumer, Producer, RebalanceListener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.settings import GroupProtocol

PARTITIONS = 4


class Broker(Protocol):
    """What a backend offers the tests. `topic` and `outcomes` are empty at the start."""

    topic: str
    outcomes: str

    def send(self, key: bytes | None, value: bytes | None) -> None: ...
    def consumer(self, listener: RebalanceListener) -> Consumer: ...
    def producer(self, transactional_id: str) -> Producer: ...
    def read_outcomes(self) -> list[bytes]: ...


class InMemory:
    def __init__(self) -> None:
        self.topic, self.outcomes = "messages", "outcomes"
        self._broker = MemoryBroker()
        self._broker.create(self.topic, PARTITIONS)
        self._broker.create(self.outcomes, 1)

    def send(self, key: bytes | None, value: bytes | None) -> None:
        self._broker.append(self.topic, key, value)

    def consumer(self, listener: RebalanceListener) -> Consumer:
        return MemoryConsumer(self._broker, self.topic, listener)

    def producer(self, transactional_id: str) -> Producer:
        return MemoryProducer(self._broker, transactional_id)

    def read_outcomes(self) -> list[bytes]:
        return [record.value for record in self._broker.read(self.outcomes) if record.value is not None]


class ApacheKafka:
    def __init__(self, bootstrap: str, protocol: GroupProtocol) -> None:
        self._protocol: GroupProtocol = protocol
        name = uuid.uuid4().hex[:8]
        self.topic, self.outcomes, self._group = f"{name}.messages", f"{name}.outcomes", f"{name}.group"
        session = {"session.timeout.ms": 6_000} if protocol == "classic" else {}  # else the sandbox's own
        self._config = {"bootstrap.servers": bootstrap, **session}
        self._producer_config: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap}
        admin = AdminClient(self._producer_config)
        topics = [
            NewTopic(self.topic, PARTITIONS, 1),
            NewTopic(self.outcomes, 1, 1, config={"max.message.bytes": str(LARGEST)}),
        ]
        for future in admin.create_topics(topics).values():
            future.result(10)
        self._sender = ck.Producer(self._producer_config)

    def send(self, key: bytes | None, value: bytes | None) -> None:
        self._sender.produce(self.topic, value, key)
        assert self._sender.flush(10) == 0

    def consumer(self, listener: RebalanceListener) -> Consumer:
        return KafkaConsumer(self._config, self._group, self.topic, listener, self._protocol)

    def producer(self, transactional_id: str) -> Producer:
        return KafkaProducer(self._producer_config, f"{self._group}-{transactional_id}")

    def read_outcomes(self) -> list[bytes]:
        """Everything a read-committed reader sees, up to the end as it stands now."""
        reader = ck.Consumer(
            {
                **self._producer_config,
                "group.id": uuid.uuid4().hex,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        reader.assign([ck.TopicPartition(self.outcomes, 0, ck.OFFSET_BEGINNING)])
        values: list[bytes] = []
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            message = reader.poll(1)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() == ck.KafkaError._PARTITION_EOF:
                reader.close()
                return values
            assert error is None
            value = message.value()
            assert value is not None
            values.append(value)
        raise AssertionError("the end of the outcomes was not reached")


class Listener:
    """Notes what it is told, and does what it is asked to."""

    def __init__(self, on_revoked: Callable[[], None] = lambda: None) -> None:
        self.owned: set[Partition] = set()
        self._on_revoked = on_revoked

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.owned |= set(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self._on_revoked()
        self.owned -= set(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.owned -= set(partitions)


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


def poll_until(
    consumer: Consumer, enough: Callable[[list[Record]], bool], others: Sequence[Consumer] = ()
) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + 30
    while not enough(records):
        assert time.monotonic() < deadline, f"waited too long; got {len(records)} records"
        records += consumer.poll(100, 0.1)
        for other in others:
            other.poll(100, 0.05)
    return records


def take(consumer: Consumer, number: int) -> list[Record]:
    return poll_until(consumer, lambda records: len(records) >= number)


def offsets_of(records: Sequence[Record]) -> dict[Partition, int]:
    return {(r.topic, r.partition): r.offset + 1 for r in records}


def outcome(broker: Broker, value: bytes) -> Outbound:
    return Outbound(broker.outcomes, b"key", value, [("traceparent", b"00")])


def test_each_partition_is_read_in_offset_order(broker: Broker, consumer: Consumer) -> None:
    for number in range(60):
        broker.send(str(number % 7).encode(), str(number).encode())
    records = take(consumer, 60)
    for partition in {r.partition for r in records}:
        offsets = [r.offset for r in records if r.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_a_poll_waits_for_the_first_record_not_for_as_many_as_it_may_bring(
    broker: Broker, consumer: Consumer
) -> None:
    broker.send(b"k", b"0")
    take(consumer, 1)
    broker.send(b"k", b"1")
    started = time.monotonic()
    assert [r.value for r in consumer.poll(100, 60.0)] == [b"1"]
    assert time.monotonic() - started < 30


def test_null_keys_and_values_arrive_as_none(broker: Broker, consumer: Consumer) -> None:
    broker.send(None, None)
    (record,) = take(consumer, 1)
    assert record.key is None
    assert record.value is None
    assert record.timestamp_ms > 0


def test_a_commit_shows_the_outcomes_and_moves_the_group(broker: Broker) -> None:
    broker.send(b"k", b"first")
    broker.send(b"k", b"second")
    before = broker.consumer(Listener())
    records = take(before, 2)
    producer = broker.producer("a")
    producer.commit([outcome(broker, b"done")], offsets_of(records[:1]), before.membership())
    before.close()
    assert broker.read_outcomes() == [b"done"]

    after = broker.consumer(Listener())
    assert [r.value for r in take(after, 1)] == [b"second"]
    after.close()


def test_what_was_read_and_not_committed_is_read_again(broker: Broker) -> None:
    broker.send(b"k", b"only")
    before = broker.consumer(Listener())
    take(before, 1)
    before.close()
    after = broker.consumer(Listener())
    assert [r.value for r in take(after, 1)] == [b"only"]
    after.close()


def test_rewind_goes_back_to_what_is_committed(broker: Broker, consumer: Consumer) -> None:
    for value in (b"0", b"1", b"2"):
        broker.send(b"k", value)
    records = take(consumer, 3)
    broker.producer("a").commit([], offsets_of(records[:1]), consumer.membership())
    consumer.rewind()
    assert [r.value for r in take(consumer, 2)] == [b"1", b"2"]


def test_rewind_without_a_commit_goes_back_to_the_start(broker: Broker, consumer: Consumer) -> None:
    broker.send(b"k", b"0")
    take(consumer, 1)
    consumer.rewind()
    assert [r.value for r in take(consumer, 1)] == [b"0"]


def test_nothing_arrives_while_paused(broker: Broker, consumer: Consumer) -> None:
    broker.send(b"k", b"0")
    take(consumer, 1)
    consumer.pause()
    broker.send(b"k", b"1")
    assert [record for _ in range(5) for record in consumer.poll(10, 0.05)] == []
    consumer.resume()
    assert [r.value for r in take(consumer, 1)] == [b"1"]


def test_a_partition_that_left_while_paused_is_read_again_when_it_comes_back(broker: Broker) -> None:
    broker.send(b"k", b"0")
    listener = Listener()
    first = broker.consumer(listener)
    take(first, 1)
    first.pause()
    second = broker.consumer(Listener())
    poll_until(first, lambda _: 0 < len(listener.owned) < PARTITIONS, [second])
    first.resume()
    first.poll(1, 0.1)
    second.close()
    poll_until(first, lambda _: len(listener.owned) == PARTITIONS)
    for number in range(40):
        broker.send(str(number).encode(), str(number).encode())
    wanted = {str(number).encode() for number in range(40)}
    poll_until(first, lambda records: {r.value for r in records} >= wanted)
    first.close()


def test_lag_counts_what_is_still_to_be_read(broker: Broker, consumer: Consumer) -> None:
    broker.send(b"k", b"0")
    take(consumer, 1)
    deadline = time.monotonic() + 10
    while consumer.lag() != 0:
        assert time.monotonic() < deadline
        consumer.poll(1, 0.05)


def test_what_the_broker_will_never_take_stops_the_worker_with_its_name(
    broker: Broker, consumer: Consumer
) -> None:
    broker.send(b"k", b"0")
    records = take(consumer, 1)
    producer = broker.producer("a")
    with pytest.raises(FatalError, match=r"outcomes|SIZE"):
        producer.commit([outcome(broker, os.urandom(3_000_000))], offsets_of(records), consumer.membership())
    assert broker.read_outcomes() == []


def test_a_second_producer_with_the_same_id_fences_the_first(broker: Broker, consumer: Consumer) -> None:
    broker.send(b"k", b"0")
    records = take(consumer, 1)
    first = broker.producer("same")
    second = broker.producer("same")
    with pytest.raises(FatalError):
        first.commit([outcome(broker, b"zombie")], offsets_of(records), consumer.membership())
    second.commit([outcome(broker, b"alive")], offsets_of(records), consumer.membership())
    assert broker.read_outcomes() == [b"alive"]


def test_a_membership_from_before_a_revocation_cannot_commit(broker: Broker) -> None:
    for number in range(40):
        broker.send(str(number).encode(), b"x")
    listener = Listener()
    first = broker.consumer(listener)
    records = take(first, 40)
    stale = first.membership()
    second = broker.consumer(Listener())
    poll_until(first, lambda _: 0 < len(listener.owned) < PARTITIONS, [second])
    producer = broker.producer("a")
    with pytest.raises(RetryableError):
        producer.commit([outcome(broker, b"stale")], offsets_of(records), stale)
    producer.commit([outcome(broker, b"fresh")], {}, first.membership())  # the producer lives on
    assert broker.read_outcomes() == [b"fresh"]
    first.close()
    second.close()


def test_a_commit_made_while_partitions_are_being_revoked_counts(broker: Broker) -> None:
    for number in range(40):
        broker.send(str(number).encode(), str(number).encode())
    producer = broker.producer("a")
    records: list[Record] = []

    def finish() -> None:
        if records:
            producer.commit([outcome(broker, b"finished")], offsets_of(records), first.membership())
            records.clear()

    listener = Listener(finish)
    first = broker.consumer(listener)
    records += take(first, 40)
    second_listener = Listener()
    second = broker.consumer(second_listener)
    seen: list[Record] = []
    deadline = time.monotonic() + 30
    while not second_listener.owned:
        assert time.monotonic() < deadline
        first.poll(100, 0.1)
        seen += second.poll(100, 0.1)
    assert broker.read_outcomes() == [b"finished"]
    seen += second.poll(100, 1.0)
    assert seen == []
    first.close()
    second.close()
