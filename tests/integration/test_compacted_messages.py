"""A messages topic that Kafka has compacted: offsets are missing, and no alarm goes off for it."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

import schemas
from schemas.events import DeadLetter, Label, Message
from tests.fakes.tiny_bundle import write_tiny_bundle
from tests.integration.test_messages_topic_changes import counted
from tests.integration.test_stream_kafka import Worker
from worker.kafka.reader import Reader
from worker.kafka.sender import Sender
from worker.kafka.topics import apply_topics

KEYS, BATCH = 7, 10
PATIENCE_S = 60.0


class Compacted:
    """One compacted partition, and `mimamori run` on it with a bundle that is valid and small."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.prefix = f"{uuid.uuid4().hex[:8]}."
        self.config: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap}
        self._folder = folder
        self._bundle = write_tiny_bundle(folder / "bundle").path
        self._admin = AdminClient(self.config)
        names = schemas.topic_names(self.prefix)
        self.topic, self._labels = names[Message], names[Label]
        apply_topics(self.config, schemas.load_topics(self.prefix, replication_factor=1, partitions=1))
        # Closed segments alone are compacted: each batch closes the one before it.
        self._set(ResourceType.TOPIC, self.topic, **{"segment.ms": "1", "min.cleanable.dirty.ratio": "0.001"})
        (broker,) = self._admin.list_topics(timeout=10).brokers
        self._set(ResourceType.BROKER, str(broker), **{"log.cleaner.backoff.ms": "50"})
        self._outcomes = Reader(self.config, [names[Label], names[DeadLetter]], from_beginning=True)
        self.sent = 0
        self.seen: list[int] = []
        self.workers: list[Worker] = []

    def _set(self, kind: ResourceType, name: str, **entries: str) -> None:
        changes = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in entries.items()
        ]
        (done,) = self._admin.incremental_alter_configs(
            [ConfigResource(kind, name, incremental_configs=changes)]
        ).values()
        done.result(10)

    def send(self, number: int) -> None:
        """Messages of KEYS keys, some of them tombstones, in batches that close one another's segments."""
        with Sender(self.config) as sender:
            for n in range(self.sent, self.sent + number):
                value = json.dumps({"id": f"m{n}", "text": f"quiet evening {n}"}).encode()
                sender.send(self.topic, None if n % 29 == 28 else value, str(n % KEYS).encode())
                if n % BATCH == BATCH - 1:
                    sender.flush()
        self.sent += number

    def survivors(self) -> list[int]:
        """Offsets that are left, read from the start."""
        reader = ck.Consumer({**self.config, "group.id": uuid.uuid4().hex, "enable.partition.eof": True})
        reader.assign([ck.TopicPartition(self.topic, 0, 0)])
        offsets: list[int] = []
        while True:
            message = reader.poll(10)
            assert message is not None
            if error := message.error():
                assert error.code() == ck.KafkaError._PARTITION_EOF
                reader.close()
                return offsets
            offset = message.offset()
            assert offset is not None
            offsets.append(offset)

    def compact(self) -> list[int]:
        """Let Kafka take what it may, and then no more; returns the offsets that are left."""
        self._set(ResourceType.TOPIC, self.topic, **{"cleanup.policy": "compact"})
        self.wait(lambda: len(self.survivors()) <= KEYS + BATCH)
        self._set(ResourceType.TOPIC, self.topic, **{"min.compaction.lag.ms": str(2**53)})
        return self.survivors()

    def start(self) -> Worker:
        log = self._folder / f"worker-{len(self.workers)}.log"
        environment = {
            "MIMAMORI_BOOTSTRAP": str(self.config["bootstrap.servers"]),
            "MIMAMORI_TOPIC_PREFIX": self.prefix,
            "MIMAMORI_GROUP": self.prefix,
            "MIMAMORI_BUNDLE": str(self._bundle),
            "MIMAMORI_DEVICE": "cpu",
            "MIMAMORI_HEALTH_PORT": "0",
        }
        worker = Worker(log, environment, ("mimamori", "run"))
        self.workers.append(worker)
        return worker

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"outcomes of {self.seen} only"
            assert all(worker.process.poll() in (None, 0) for worker in self.workers)
            time.sleep(0.02)

    def outcomes(self) -> list[int]:
        """Read on; returns the offsets that have one, one each time."""
        for record in self._outcomes.poll():
            value = record.value or b""
            event = (
                schemas.decode(Label, value)
                if record.topic == self._labels
                else schemas.decode(DeadLetter, value)
            )
            self.seen.append(event.origin.offset)
        return self.seen

    def committed(self) -> int:
        client = ck.Consumer({**self.config, "group.id": self.prefix})
        (place,) = client.committed([ck.TopicPartition(self.topic, 0)], timeout=20)
        client.close()
        return place.offset

    def end(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        self._outcomes.__exit__(None, None, None)


@pytest.fixture
def compacted(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Compacted]:
    compacted = Compacted(kafka_bootstrap, tmp_path)
    yield compacted
    compacted.end()


def test_each_record_that_compaction_left_has_one_outcome_and_its_gaps_alarm_nobody(
    compacted: Compacted,
) -> None:
    compacted.send(20)
    first = compacted.start()
    compacted.wait(lambda: len(compacted.outcomes()) >= 20)
    first.drain()
    compacted.send(100)  # among them, by then, the one at the committed offset is gone
    left = compacted.compact()
    assert compacted.committed() == 20
    assert 20 not in left
    assert len(left) <= KEYS + BATCH
    second = compacted.start()
    expected = Counter([*range(20), *(offset for offset in left if offset >= 20)])
    compacted.wait(lambda: len(compacted.outcomes()) >= expected.total())
    (warning,) = second.events("messages_topic_is_compacted")
    assert compacted.topic in str(warning["advice"])
    assert counted(second, "mimamori_deleted_unread_records_total") == 0
    assert counted(second, "mimamori_position_resets_total") == 0
    second.drain()
    compacted.outcomes()
    assert Counter(compacted.seen) == expected
    assert compacted.committed() == compacted.sent
    assert not second.events("position_reset")
    assert not second.events("records_deleted_unread")
    assert not second.events("rewound_to_committed")
