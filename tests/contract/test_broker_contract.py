"""What the stations rely on, run on the in-memory broker and on Apache Kafka alike."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # its types do not re-export

from engine.errors import FatalError
from tests.fakes.memory_broker import LARGEST, MemoryBroker, MemoryConsumer, MemoryProducer
from worker.errors import RetryableError
from worker.kafka import Consumer, Producer, RebalanceListener, Restart
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Outbound, Partition, Record
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
    def make_again(self) -> None: ...
    def delete_records(self, before: dict[Partition, int]) -> None: ...


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

    def make_again(self) -> None:
        self._broker.create(self.topic, PARTITIONS)

    def delete_records(self, before: dict[Partition, int]) -> None:
        self._broker.delete_records(self.topic, before)


class ApacheKafka:
    def __init__(self, bootstrap: str, protocol: GroupProtocol) -> None:
        self._protocol: GroupProtocol = protocol
        name = uuid.uuid4().hex[:8]
        self.topic, self.outcomes, self._group = f"{name}.messages", f"{name}.outcomes", f"{name}.group"
        session = {"session.timeout.ms": 6_000} if protocol == "classic" else {}  # else the sandbox's own
        self._config = {"bootstrap.servers": bootstrap, **session}
        self._producer_config: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap}
        self._admin = AdminClient(self._producer_config)
        topics = [
            NewTopic(self.topic, PARTITIONS, 1),
            NewTopic(self.outcomes, 1, 1, config={"max.message.bytes": str(LARGEST)}),
        ]
        for future in self._admin.create_topics(topics).values():
            future.result(10)
        self._sender = ck.Producer(self._producer_config)

    def send(self, key: bytes | None, value: bytes | None) -> None:
        self._sender.produce(self.topic, value, key)
        assert self._sender.flush(10) == 0

    def consumer(self, listener: RebalanceListener) -> Consumer:
        return KafkaConsumer(self._config, self._group, self.topic, listener, self._protocol)

    def producer(self, transactional_id: str) -> Producer:
        return KafkaProducer(self._producer_config, f"{self._group}-{transactional_id}")

    def make_again(self) -> None:
        make_again(self._admin, self.topic)
        self._sender = ck.Producer(self._producer_config)

    def delete_records(self, before: dict[Partition, int]) -> None:
        cut = [ck.TopicPartition(*place, offset) for place, offset in before.items()]
        for deletion in self._admin.delete_records(cut).values():
            deletion.result(10)

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


def make_again(admin: AdminClient, topic: str) -> None:
    """Delete a topic and make another one of its name."""
    admin.delete_topics([topic])[topic].result(10)
    deadline = time.monotonic() + 20
    while True:
        try:
            admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(10)
        except ck.KafkaException as error:
            if error.args[0].code() != ck.KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > deadline:
                raise  # else the old one is still being deleted
        else:
            return


class Listener:
    """Notes what it is told, and does what it is asked to."""

    def __init__(self, on_revoked: Callable[[], None] = lambda: None) -> None:
        self.owned: set[Partition] = set()
        self.restarts: list[Restart] = []
        self._on_revoked = on_revoked

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.owned |= set(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self._on_revoked()
        self.owned -= set(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.owned -= set(partitions)

    def restarted(self, restarts: Sequence[Restart]) -> None:
        self.restarts += restarts


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


def test_a_topic_made_again_under_a_reader_stops_it_and_its_successor_reads_from_the_start(
    broker: Broker,
) -> None:
    """Whatever it still commits: the offset says of which topic it is."""
    for value in (b"0", b"1", b"2"):
        broker.send(b"k", value)
    first = broker.consumer(Listener())
    records = take(first, 3)
    membership = first.membership()
    broker.make_again()
    for number in range(6):
        broker.send(b"k", b"new %d" % number)
    broker.producer("a").commit([outcome(broker, b"late")], offsets_of(records), membership)
    with pytest.raises(FatalError, match="made again"):
        take(first, 100)
    first.close()

    listener = Listener()
    second = broker.consumer(listener)
    assert [r.value for r in take(second, 6)] == [b"new %d" % number for number in range(6)]
    second.close()
    (restart,) = listener.restarts
    assert (restart.reason, restart.left, restart.begins) == ("made_again", 3, 0)

    third = broker.consumer(again := Listener())  # nothing was committed since but the start itself
    take(third, 6)
    third.close()
    assert again.restarts == []


def test_records_deleted_before_they_were_read_are_told_once(broker: Broker) -> None:
    for number in range(10):
        broker.send(b"k", str(number).encode())
    first = broker.consumer(Listener())
    records = take(first, 10)
    broker.producer("a").commit([], offsets_of(records[:2]), first.membership())
    first.close()
    place = records[0].topic, records[0].partition
    broker.delete_records({place: 6})

    listener = Listener()
    second = broker.consumer(listener)
    assert [r.value for r in take(second, 4)] == [b"6", b"7", b"8", b"9"]
    second.rewind()
    assert [r.value for r in take(second, 4)] == [b"6", b"7", b"8", b"9"]
    second.close()
    assert listener.restarts == [Restart(place, "retention", 2, 6, unread=4)]

    third = broker.consumer(again := Listener())
    take(third, 4)
    third.close()
    assert again.restarts == []


def test_records_deleted_before_a_running_consumer_gets_to_them_are_told(broker: Broker) -> None:
    """And so is what had been read, and was not committed when it went; nothing of it twice."""
    for value in (b"0", b"1"):
        broker.send(b"k", value)
    listener = Listener()
    consumer = broker.consumer(listener)
    (record, _) = take(consumer, 2)
    broker.producer("a").commit([], offsets_of([record]), consumer.membership())
    consumer.pause()
    for number in range(2, 10):
        broker.send(b"k", str(number).encode())
    place = record.topic, record.partition
    broker.delete_records({place: 6})
    consumer.resume()
    assert [r.value for r in take(consumer, 4)] == [b"6", b"7", b"8", b"9"]
    assert listener.restarts == [Restart(place, "retention", 2, 6, unread=4)]
    consumer.rewind()
    assert [r.value for r in take(consumer, 4)] == [b"6", b"7", b"8", b"9"]
    assert listener.restarts[1:] == [Restart(place, "retention", 1, 6, unread=1)]
    consumer.close()


def test_what_was_deleted_before_there_was_a_group_is_nobodys_loss(broker: Broker) -> None:
    for number in range(10):
        broker.send(b"k", str(number).encode())
    first = broker.consumer(Listener())
    (record, *_) = take(first, 10)
    first.close()
    broker.delete_records({(record.topic, record.partition): 6})
    second = broker.consumer(listener := Listener())
    assert [r.value for r in take(second, 4)] == [b"6", b"7", b"8", b"9"]
    second.close()
    assert listener.restarts == []


def test_an_offset_beyond_the_end_is_told_and_read_from_the_start(broker: Broker) -> None:
    for number in range(3):
        broker.send(b"k", str(number).encode())
    first = broker.consumer(Listener())
    (record, *_) = take(first, 3)
    place = record.topic, record.partition
    broker.producer("a").commit([], {place: 50}, first.membership())
    first.close()
    second = broker.consumer(listener := Listener())
    assert [r.value for r in take(second, 3)] == [b"0", b"1", b"2"]
    second.close()
    assert listener.restarts == [Restart(place, "truncated", 50, 0)]
