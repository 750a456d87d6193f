"""Review desks that are killed, frozen and replaced, and a broker that is killed under them.

Whatever happens, a claim or a decision that somebody was told of survives, and nothing is decided twice.
"""

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from schemas.codec import decode, encode
from schemas.events import ReviewCase, ReviewDecision
from tests.fakes.bare_desk import BareDesk, until
from tests.fakes.review_cases import a_case

NAMES = ("review-cases", "review-decisions", "case-events", "case-subjects", "review-audit")


class Town:
    """One cluster's topics, and the desks on them."""

    def __init__(self, bootstrap: str, folder: Path, partitions: int = 1) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"desks-{secrets.token_hex(4)}."
        self._folder = folder
        self._partitions = partitions
        self._desks: list[BareDesk] = []
        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        made = [NewTopic(self.prefix + name, partitions, 1) for name in NAMES]
        for each in self._admin.create_topics(made).values():
            each.result()
        key = Ed25519PrivateKey.generate()
        file = folder / "signing-key.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.chmod(0o600)

    def desk(self, name: str, **settings: str) -> BareDesk:
        """Start a desk with a folder of its own."""
        desk = BareDesk(self.bootstrap, self.prefix, self._folder / name, **settings).start()
        self._desks.append(desk)
        return desk

    def send(self, *cases: ReviewCase) -> None:
        """Cases arrive."""
        for case in cases:
            self._producer.produce(self.prefix + NAMES[0], encode(case), key=case.id)
        assert self._producer.flush(10) == 0

    def write(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Somebody writes to partition 0 of a topic."""
        self._producer.produce(topic, value, key=key, partition=0)
        assert self._producer.flush(10) == 0

    @property
    def changelog(self) -> str:
        """The topic of the desks' table."""
        return f"{self.prefix}review-cases-changelog"

    def read(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        """Everything on a topic, oldest first per partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.prefix + "reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        found: list[tuple[bytes, bytes | None]] = []
        try:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in range(self._partitions)])
            ended = 0
            while ended < self._partitions:
                record = consumer.poll(30)
                assert record is not None
                if record.error():
                    ended += 1
                else:
                    found.append((record.key() or b"", record.value()))
        finally:
            consumer.close()
        return found

    def decisions(self) -> list[ReviewDecision]:
        """What the desks have published."""
        return [decode(ReviewDecision, value or b"") for _, value in self.read(self.prefix + NAMES[1])]

    def close(self) -> None:
        """End the desks, and delete the topics."""
        for desk in self._desks:
            desk.kill()
        mine = [name for name in self._admin.list_topics(timeout=10).topics if name.startswith(self.prefix)]
        for deletion in self._admin.delete_topics(mine).values():
            deletion.result()
        del self._admin, self._producer  # or they would complain when the broker ends


@pytest.fixture
def town(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Town]:
    made = Town(kafka_bootstrap, tmp_path)
    yield made
    made.close()


def test_a_frozen_desk_that_wakes_turns_nothing_back(town: Town) -> None:
    """It wakes in the middle of an event, when a colleague's desk has long gone on with the case."""
    case = a_case(1)
    town.send(case)
    first = town.desk("first").ready(1)
    until(lambda: first.ask("queue")["total"], "the case")
    lease = first.ask("claim", case.id, "aoi")["lease"]
    first.ask("freeze")
    first.send("decide", case.id, lease, "at_risk", "aoi")
    until(first.frozen, "the first desk to freeze in the middle of the decision")

    second = town.desk("second").ready(1)
    until(lambda: second.ask("find", case.id)["phase"] == "settled", "the decision, settled by the second")
    second.ask("reopen", case.id, "lena")
    claimed = second.ask("claim", case.id, "ben")["lease"]
    assert second.ask("find", case.id)["holder"] == "ben"

    written = len(town.read(town.changelog))
    first.signal(signal.SIGCONT)
    until(lambda: len(town.read(town.changelog)) > written, "the late write")
    second.kill()
    first.answer()
    first.ready(1)
    assert first.ask("find", case.id)["holder"] == "ben"  # it has read what it had missed
    first.kill()
    third = town.desk("third").ready(1)
    assert third.ask("find", case.id)["holder"] == "ben"  # and so does whoever reads the whole changelog
    assert third.ask("decide", case.id, claimed, "not_at_risk", "ben")["phase"] == "decided"
    until(lambda: len(town.decisions()) == 2, "Ben's decision")
    assert [decision.reviewer for decision in town.decisions()] == ["aoi", "ben"]
