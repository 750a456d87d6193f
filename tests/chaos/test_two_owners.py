"""A partition that Kafka gave to another worker while this one's client still believes in it (KIP-848).

librdkafka 2.16 sends a full heartbeat after an error. While an assignment waits to be taken, that names what
the member had before. Where another member is to have a part of it by then, Kafka gives it away at once.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined] # public, but not re-exported

import schemas
from mimamori.soak.servers import Servers
from schemas.events import Label, Message
from tests.fakes.brokers import Listener
from worker.errors import RetryableError
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Outbound, Record
from worker.kafka.span import Asked, SpanReader
from worker.kafka.topics import apply_topics

EACH: Final = 10  # records of each of two partitions
GATED: Final = 0  # the slot of the first worker, which reaches Kafka through a gate
BEAT_S: Final = 0.5  # the sandbox's group.consumer.heartbeat.interval.ms
WITHIN_S: Final = 60.0
LOOKED_S: Final = 3.0  # so long a worker that would read what is not its own has for it


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("servers"), workers=1) as running:
        yield running


class Group:
    """Two consumers of one group, and what they write."""

    def __init__(self, servers: Servers) -> None:
        self.prefix = f"{uuid.uuid4().hex[:8]}."
        self._config = {"bootstrap.servers": servers.bootstrap}
        self._gated = {"bootstrap.servers": servers.bootstrap_of(GATED)}
        names = schemas.topic_names(self.prefix)
        self.topic, self._labels = names[Message], names[Label]
        apply_topics(self._config, schemas.load_topics(self.prefix, replication_factor=1, partitions=2))
        feed = ck.Producer(self._config)
        for number in range(2):
            for n in range(EACH):
                feed.produce(self.topic, f"{number}/{n}".encode(), partition=number)
        assert feed.flush(30) == 0
        self._admin = AdminClient(self._config)

    def consumer(self, listener: Listener, *, gated: bool) -> KafkaConsumer:
        config = self._gated if gated else self._config
        return KafkaConsumer(config, self.prefix, self.topic, listener, "consumer")

    def producer(self, name: str) -> KafkaProducer:
        return KafkaProducer(self._config, f"{self.prefix}{name}")

    def given(self) -> dict[str, set[int]]:
        """What the broker says that each member has."""
        group = self._admin.describe_consumer_groups([self.prefix])[self.prefix].result(10)
        return {
            member.member_id: {place.partition for place in member.assignment.topic_partitions}
            for member in group.members
        }

    def answer(self, records: list[Record], producer: KafkaProducer, membership: Any) -> None:
        """Write one outcome for each record, and commit their offsets."""
        outcomes = [Outbound(self._labels, b"", record.value or b"", []) for record in records]
        producer.commit(outcomes, {each.place: each.offset + 1 for each in records}, membership)

    def answered(self) -> list[str]:
        with SpanReader(self._config, Asked(self._labels)) as reader:
            return sorted((record.value or b"").decode() for record in reader.records())


def until(what: str, condition: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)


@pytest.mark.timeout(180)
def test_what_kafka_gave_to_another_is_labelled_once(servers: Servers) -> None:
    group = Group(servers)
    mine, other = Listener(), Listener()
    first = group.consumer(mine, gated=True)
    until("the first assignment", lambda: [{0, 1}] == list(group.given().values()))
    second = group.consumer(other, gated=False)  # half is to be its own, once the first gives it up
    until("the second member", lambda: len(group.given()) == 2)
    writes, writes_too = group.producer("first"), group.producer("second")
    servers.turn_kafka(GATED, latency_s=4 * BEAT_S)
    threading.Event().wait(3 * BEAT_S)  # a heartbeat is on its way, without an answer
    servers.turn_kafka(GATED, cut=True, latency_s=0)

    def second_reads() -> bool:
        if records := second.poll(100, 0.02):
            group.answer(records, writes_too, second.membership())
        return len(other.owned) == 1

    until("what the first never gave up", second_reads)
    assert not mine.owned, "the first was to be told of its partitions only now"
    deadline = time.monotonic() + LOOKED_S
    while time.monotonic() < deadline or len(group.answered()) < 2 * EACH:
        second_reads()
        if records := first.poll(100, 0.02):
            try:
                group.answer(records, writes, first.membership())
            except RetryableError:
                first.rewind()
        assert time.monotonic() < deadline + WITHIN_S, group.answered()
    for each in (first, second, writes, writes_too):
        each.close()
    assert group.answered() == sorted(f"{number}/{n}" for number in range(2) for n in range(EACH))
