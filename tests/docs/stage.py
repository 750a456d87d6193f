"""What a page meets: topics of its own, bundles, messages that keep coming, and a count of their outcomes."""

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import confluent_kafka as ck
import msgspec
from confluent_kafka.admin import AdminClient

from schemas import load_topics, topic_names
from schemas.events import DeadLetter, Label, Message
from tests.docs.page import ROOT
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle
from tests.fakes.worker_app import wait_for
from tests.integration.test_review_app import free_port
from worker.errors import BrokerError
from worker.kafka.span import Asked, SpanReader
from worker.kafka.topics import apply_topics

PARTITIONS: Final = 3
AT_ONCE: Final = 6


class Stage:
    """Messages come before each block of a page. `settle` waits until a running worker has labelled them."""

    def __init__(self, bootstrap: str, folder: Path, prefix: str) -> None:
        self.bootstrap, self.folder, self.prefix = bootstrap, folder, prefix
        self.config: dict[str, Any] = {"bootstrap.servers": bootstrap}
        self.sent = 0
        self.outcomes: Counter[tuple[str, int, int]] = Counter()
        self.labels: list[Label] = []
        self.letters: list[DeadLetter] = []
        self._names = topic_names(prefix)
        self.make_topics()
        # One model; what differs is the policy, and so the fingerprint.
        policy = msgspec.structs.replace(TASK.policy, lower=0.5)
        replaced = msgspec.structs.replace
        self.old = write_tiny_bundle(folder / "bundles" / "old")
        self.new = write_tiny_bundle(folder / "bundles" / "new", task=replaced(TASK, policy=policy))
        write_tiny_bundle(folder / "bundles" / "scams", task=replaced(TASK, name="scams"))
        for name in ("docs", "engine"):
            (folder / name).symlink_to(ROOT / name)

    def make_topics(self) -> None:
        apply_topics(self.config, load_topics(self.prefix, replication_factor=1, partitions=PARTITIONS))
        wait_for(self._is_readable, 60, "leaders of the new topics")

    def environment(self) -> dict[str, str]:
        """As somebody's terminal has it who runs these workers."""
        home = Path(sys.executable).parent
        given = {
            "PATH": f"{home}:{os.environ['PATH']}",
            "MIMAMORI_BOOTSTRAP": self.bootstrap,
            "MIMAMORI_TOPIC_PREFIX": self.prefix,
            "MIMAMORI_REVIEW_TOPIC_PREFIX": self.prefix,
            "MIMAMORI_GROUP": self.prefix,
            "MIMAMORI_TRANSACTIONAL_ID": self.prefix,
            "MIMAMORI_BUNDLE": "bundles/old",
            "MIMAMORI_DEVICE": "cpu",
            "MIMAMORI_THREADS": "1",
            "MIMAMORI_MAX_WAIT_MS": "5",
            "MIMAMORI_QUALITY_SAMPLE_SHARE": "1",  # so that each message becomes a case
            "MIMAMORI_REVIEW_PORT": str(free_port()),
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "KAFKA_GROUP": f"{self.prefix}platform",  # of a platform's programs, and never the workers'
            "TOPIC_PREFIX": self.prefix,
            "COLUMNS": "120",
            # No bf16, whatever CPU this is: the tiny model's scores are too near to one another for it.
            "PYTHONPATH": str(ROOT / "tests" / "cpu_fp32"),
        }
        known = {name: value for name, value in os.environ.items() if not name.startswith("MIMAMORI_")}
        return known | {"MIMAMORI_HOME": os.environ.get("MIMAMORI_HOME", "")} | given

    def send(self, count: int = AT_ONCE, **more: str) -> None:
        producer = ck.Producer(self.config)
        for _ in range(count):
            value = {"id": f"live-{self.sent}", "text": f"a quiet evening by the lake, {self.sent}", **more}
            producer.produce(self._names[Message], json.dumps(value), str(self.sent))
            self.sent += 1
        assert producer.flush(30) == 0

    def settle(self, *, alive: bool) -> None:
        """Wait until each message has an outcome, where a worker runs. None may have two."""
        if alive:
            wait_for(
                lambda: self._count() >= self.sent, 60, f"{self.sent} outcomes, {len(self.outcomes)} came"
            )
        self._count()
        assert max(self.outcomes.values(), default=1) == 1, "a record was answered twice"

    def _count(self) -> int:
        """Read both topics from their start: a reader that lived on would have to outlive Kafka's data."""
        self.labels = [msgspec.json.decode(value, type=Label) for value in self._values(Label)]
        self.letters = [msgspec.json.decode(value, type=DeadLetter) for value in self._values(DeadLetter)]
        origins = [label.origin for label in self.labels] + [letter.origin for letter in self.letters]
        self.outcomes = Counter((origin.topic, origin.partition, origin.offset) for origin in origins)
        return len(self.outcomes)

    def _is_readable(self) -> bool:
        try:
            self._count()
        except BrokerError:  # a topic is known before its partitions are led
            return False
        return True

    def _values(self, kind: type[Label | DeadLetter]) -> list[bytes]:
        with SpanReader(self.config, Asked(self._names[kind])) as reader:
            return [record.value or b"" for record in reader.records()]

    def also(self, count: int) -> None:
        """A page has sent so many messages by itself."""
        self.sent += count

    def forget(self) -> None:
        """What was sent went with Kafka's data."""
        self.sent = 0

    def end_of_messages(self) -> int:
        """How many records were sent to the messages topic, whoever sent them."""
        reader = ck.Consumer(self.config | {"group.id": "ends"})
        topic = self._names[Message]
        ends = [reader.get_watermark_offsets(ck.TopicPartition(topic, n), 30)[1] for n in range(PARTITIONS)]
        reader.close()
        return sum(ends)

    def delete_group(self) -> None:
        admin = AdminClient(self.config)
        for done in admin.delete_consumer_groups([self.prefix]).values():
            done.result(30)

    def lose(self, path: str) -> None:
        shutil.rmtree(self.folder / path)
