"""The brokers of the contract suite, one in memory and Apache Kafka, and helpers to read from either."""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # its types do not re-export

from tests.fakes.memory_broker import LARGEST, MemoryBroker, MemoryConsumer, MemoryProducer
from worker.kafka import Consumer, Look, Producer, RebalanceListener, Restart
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Outbound, Partition, Record
from worker.settings import GroupProtocol

PARTITIONS = 4


class Broker(Protocol):
    """What each broker offers the tests. The topics `topic` and `outcomes` are empty at the start."""

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
        session = {"session.timeout.ms": 6_000} if protocol == "classic" else {}  # else the sandbox's
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
        self._producers: list[KafkaProducer] = []

    def close(self) -> None:
        """Close the producers: each would have a thread until the end of the run."""
        for producer in self._producers:
            producer.close()

    def send(self, key: bytes | None, value: bytes | None) -> None:
        self._sender.produce(self.topic, value, key)
        assert self._sender.flush(10) == 0

    def consumer(self, listener: RebalanceListener) -> Consumer:
        return KafkaConsumer(self._config, self._group, self.topic, listener, self._protocol)

    def producer(self, transactional_id: str) -> Producer:
        made = KafkaProducer(self._producer_config, f"{self._group}-{transactional_id}")
        self._producers.append(made)
        return made

    def make_again(self) -> None:
        make_again(self._admin, self.topic)
        self._sender = ck.Producer(self._producer_config)

    def delete_records(self, before: dict[Partition, int]) -> None:
        cut = [ck.TopicPartition(*place, offset) for place, offset in before.items()]
        for deletion in self._admin.delete_records(cut).values():
            deletion.result(10)

    def read_outcomes(self) -> list[bytes]:
        """Return everything that a read-committed reader sees up to the current end of the topic."""
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
    """Delete a topic and create another one of the same name."""
    admin.delete_topics([topic])[topic].result(10)
    deadline = time.monotonic() + 20
    while True:
        try:
            admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(10)
        except ck.KafkaException as error:
            if error.args[0].code() != ck.KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > deadline:
                raise  # Otherwise the old topic is still being deleted.
        else:
            return


class Listener:
    """Records the partitions and restarts it is told of, and calls `on_revoked` at a revocation."""

    def __init__(self, on_revoked: Callable[[], None] = lambda: None) -> None:
        self.owned: set[Partition] = set()
        self.restarts: list[Restart] = []
        self.looks: list[Look] = []
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

    def looked(self, look: Look) -> None:
        self.looks.append(look)


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
