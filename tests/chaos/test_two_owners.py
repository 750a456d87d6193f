"""A partition that Kafka gave to another worker while this one's client still believes in it (KIP-848).

librdkafka 2.16 sends a full heartbeat where its connection broke under the last one. While an assignment
waits to be taken, that names what the member had before. Where another member is to have a part of it by
then, Kafka gives it away at once.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import confluent_kafka as ck
import msgspec
import pytest
from confluent_kafka.admin import AdminClient

import schemas
from mimamori.sandbox.kafka_cluster import KafkaCluster
from mimamori.sandbox.node import Node
from mimamori.sandbox.server import HOST, choose_port
from schemas.events import Label, Message
from tests.fakes.brokers import Listener
from tests.fakes.heartbeat_gate import HeartbeatGate
from worker.errors import RetryableError
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Outbound, Record
from worker.kafka.span import Asked, SpanReader
from worker.kafka.topics import apply_topics

EACH: Final = 10  # records of each of two partitions
WITHIN_S: Final = 60.0
LOOKED_S: Final = 3.0  # so long a worker that would read what is not its own has for it


class Gated:
    """A Kafka with a second address, behind a gate."""

    def __init__(self, folder: Path) -> None:
        self.inner, self.outer = choose_port(0, ""), choose_port(0, "")
        node = msgspec.structs.replace(Node.alone(), proxied={self.inner: self.outer})
        self.kafka = KafkaCluster(folder, [node], temporary=True, echo=lambda _: None)


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    made = Gated(tmp_path_factory.mktemp("kafka"))
    made.kafka.start()
    yield made
    made.kafka.kill()


class Group:
    """Two consumers of one group, and what they write."""

    def __init__(self, gated: Gated) -> None:
        self.prefix = f"{uuid.uuid4().hex[:8]}."
        self._config: dict[str, Any] = {"bootstrap.servers": gated.kafka.bootstrap}
        self._gated = {"bootstrap.servers": f"{HOST}:{gated.outer}"}
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
def test_what_kafka_gave_to_another_is_labelled_once(gated: Gated) -> None:
    """The first is given both partitions, denies them, and only then takes them and reads."""
    group = Group(gated)
    mine, other = Listener(), Listener()
    with (
        HeartbeatGate(gated.outer, gated.inner) as gate,
        closing(group.consumer(mine, gated=True)) as first,  # is not polled yet, so that it takes nothing
        closing(group.producer("first")) as writes,
        closing(group.producer("second")) as writes_too,
    ):
        until("the first assignment", lambda: [{0, 1}] == list(group.given().values()))
        until("the client's knowledge of it", lambda: gate.answers > 1)
        with closing(group.consumer(other, gated=False)) as second:
            until("the second member", lambda: len(group.given()) == 2)  # which is to have half
            # A full heartbeat names the topic. After one whose answer is only lost, none follows; nor does it
            # where the client had given up waiting as its connection broke.
            gate.breaks_until = group.topic.encode()
            theirs: list[Record] = []
            ours: list[Record] = []

            def second_reads() -> bool:
                theirs.extend(second.poll(100, 0.02))
                return len(theirs) == EACH

            def first_takes() -> bool:
                ours.extend(first.poll(100, 0.02))
                return bool(mine.owned)

            until("what the first never gave up", second_reads)
            assert not mine.owned, "the first was to be told of its partitions only now"
            gate.loses_requests = True  # so that it hears nothing else
            until("what the first takes", first_takes)
            assert len(mine.owned) == 2, "the first was to believe in both"
            deadline = time.monotonic() + LOOKED_S
            while time.monotonic() < deadline and len(ours) < 2 * EACH:
                ours.extend(first.poll(100, 0.02))
            group.answer(ours, writes, first.membership())
            group.answer(theirs, writes_too, second.membership())
            gate.loses_requests = False
    assert group.answered() == sorted(f"{number}/{n}" for number in range(2) for n in range(EACH))


@pytest.mark.timeout(180)
def test_kafka_looks_whose_a_partition_is_where_the_epoch_is_older(gated: Gated) -> None:
    """Why each partition keeps the membership that it was confirmed under."""
    group = Group(gated)
    mine, other = Listener(), Listener()
    read: list[Record] = []
    with (
        closing(group.consumer(mine, gated=False)) as first,
        closing(group.producer("first")) as writes,
    ):

        def reads_all() -> bool:
            read.extend(first.poll(100, 0.02))
            return len(read) == 2 * EACH

        until("what there is to read", reads_all)
        before = first.membership()
        with closing(group.consumer(other, gated=False)) as second:

            def second_has_half() -> bool:
                first.poll(100, 0.02)
                second.poll(100, 0.02)
                return len(other.owned) == 1 and first.membership().group != before.group

            until("half for the second", second_has_half)
            (gone,), (kept,) = other.owned, mine.owned
            with pytest.raises(RetryableError, match="ILLEGAL_GENERATION"):
                writes.commit([], {gone: 1}, before)
            writes.commit([], {kept: 1}, before)
            now = first.membership()
            assert now.under is not None
            assert gone not in now.under
            with pytest.raises(RetryableError, match="not confirmed"):
                writes.commit([], {gone: 1}, now)
            writes.commit([], {gone: 1}, now._replace(under=None))  # Kafka takes it: nobody looks
