"""A commit that ends after its partitions were asked back, on Apache Kafka with the protocol of KIP-848.

The classic protocol refuses it, since the generation of the group has changed meanwhile.
"""

import secrets
import threading
from collections import Counter
from collections.abc import Sequence

import pytest

import schemas
from schemas.events import Label, Message
from tests.fakes.worker_app import Running, build_app, settings, wait_for
from worker.assembly import join_group
from worker.kafka import Membership
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Offsets, Outbound
from worker.kafka.sender import Sender
from worker.kafka.span import Asked, SpanReader
from worker.kafka.topics import apply_topics
from worker.settings import Settings

SENT = 12
LOOKED_S = 3.0  # so long a worker that would give up or go back too early has for it


class LateProducer:
    """Kafka's producer, whose first commit waits."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self.begun, self.go_on = threading.Event(), threading.Event()

    def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        self.begun.set()
        self.go_on.wait(60)
        self._producer.commit(outbound, offsets, membership)

    def close(self) -> None:
        self._producer.close()


class Group:
    """Workers of one group, and what they label."""

    def __init__(self, bootstrap: str, key: bytes) -> None:
        self.prefix = f"{secrets.token_hex(4)}."
        self._config = {"bootstrap.servers": bootstrap}
        self._bootstrap = bootstrap
        names = schemas.topic_names(self.prefix)
        self._labels = names[Label]
        apply_topics(self._config, schemas.load_topics(self.prefix, replication_factor=1, partitions=2))
        with Sender(self._config) as sender:
            for n in range(SENT):
                message = Message(f"m{n}", f"a quiet evening {n}")
                sender.send(names[Message], schemas.encode(message), key)

    def settings(self) -> Settings:
        return settings(
            bootstrap=self._bootstrap,
            topic_prefix=self.prefix,
            group=self.prefix,
            group_protocol="consumer",
            revoke_s=0.2,
            max_records=1,
        )

    def producer(self, name: str) -> LateProducer:
        return LateProducer(KafkaProducer(self._config, f"{self.prefix}{name}"))

    def start(self, producer: LateProducer) -> Running:
        config = self.settings()
        return Running(build_app(config), lambda listener: join_group(config, listener), producer)

    def labels(self) -> Counter[str]:
        with SpanReader(self._config, Asked(self._labels)) as reader:
            found = [schemas.decode(Label, record.value or b"") for record in reader.records()]
        return Counter(label.message_id for label in found)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("key", [b"a", b"d"])  # of either partition: which one it keeps is Kafka's choice
def test_what_a_late_commit_has_labelled_is_not_read_again(kafka_bootstrap: str, key: bytes) -> None:
    group = Group(kafka_bootstrap, key)
    late, other = group.producer("a"), group.producer("b")
    other.go_on.set()
    first = group.start(late)
    assert late.begun.wait(60), "the first worker has nothing to commit"
    second = group.start(other)  # is to have one of two partitions
    wait_for(lambda: first.app._epochs.setbacks > 0, 60, "the end of the first one's patience")
    threading.Event().wait(LOOKED_S)
    assert not second.app.ready.is_set(), "a partition was given up in the middle of a commit"
    late.go_on.set()
    wait_for(second.app.ready.is_set, 60, "the second worker's assignment")
    wait_for(lambda: len(group.labels()) == SENT, 60, "every label")
    first.stop()
    second.stop()
    assert (first.error, second.error) == (None, None)
    assert group.labels() == Counter({f"m{n}": 1 for n in range(SENT)})
