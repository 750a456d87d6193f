"""The Kafka Streams job of docs/examples/, compiled and run on a real Kafka, and killed on the way.

What it must say is worked out here from the labels topic alone, by another program in another language.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import confluent_kafka as ck
import msgspec
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)

from schemas import encode
from schemas.events import Label, Origin, Thresholds
from schemas.vocabulary import Verdict
from tests.fakes.java_program import command, compiled, jars
from worker.registry.framing import framed

SOURCE: Final = Path(__file__).parents[2] / "docs" / "examples" / "Escalations.java"
LIBRARIES: Final = "org.apache.kafka:kafka-streams:4.3.0", "org.rocksdb:rocksdbjni:10.1.3"
PARTITIONS: Final = 4
WINDOW: Final = timedelta(seconds=60)
AT_LEAST: Final = 3
PATIENCE_S: Final = 300.0  # a busy machine starts a JVM in half a minute
# A dead instance is noticed after its session, and what it had open is given up after the transaction's time.
QUICK: Final = {
    "consumer.session.timeout.ms": "6000",
    "consumer.heartbeat.interval.ms": "1000",
    "producer.transaction.timeout.ms": "5000",
    "commit.interval.ms": "300",
    "replication.factor": "1",
}
pytestmark = pytest.mark.timeout(1800)
VERDICTS: Final[tuple[Verdict, ...]] = ("clear", "uncertain", "at_risk", "at_risk")


class Alert(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    id: str
    task: str
    labels: list[str]
    window_s: int
    raised_at: datetime


@pytest.fixture(scope="module")
def libraries() -> list[Path]:
    return jars(*LIBRARIES)


@pytest.fixture(scope="module")
def classes(libraries: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(SOURCE, tmp_path_factory.mktemp("classes"), *libraries)


class Jobs:
    """Instances of the job, on topics of their own."""

    def __init__(self, bootstrap: str, classes: Path, libraries: list[Path], folder: Path) -> None:
        name = f"escalations-{time.time_ns()}"
        self.labels, self.alerts = f"{name}.labels", f"{name}.alerts"
        self.bootstrap, self.folder = bootstrap, folder
        self._command = command("Escalations", classes, libraries)
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP": bootstrap,
            "KAFKA_CONFIG": json.dumps(QUICK),
            "APPLICATION_ID": name,
            "LABELS_TOPIC": self.labels,
            "ALERTS_TOPIC": self.alerts,
            "WINDOW_S": str(int(WINDOW.total_seconds())),
            "AT_LEAST": str(AT_LEAST),
        }

    def create(self, *topics: str) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
            made.result(30.0)

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """An instance with a state folder and a log of its own."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._command,
                env={**self._environment, "STATE_DIR": str(self.folder / name)},
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def said(self) -> str:
        return "\n".join(log.read_text() for log in self.folder.glob("*.log"))

    def read(self, topic: str) -> list[tuple[int, bytes | None, bytes]]:
        """Partition, key and value of all that is committed, each partition in its order."""
        reader = ck.Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )
        reader.assign([ck.TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        found: list[tuple[int, bytes | None, bytes]] = []
        ended: set[int | None] = set()
        while len(ended) < PARTITIONS:
            for message in reader.consume(1000, 1.0):
                if (error := message.error()) is not None:
                    assert error.code() == ck.KafkaError._PARTITION_EOF, error
                    ended.add(message.partition())
                elif (partition := message.partition()) is not None:
                    found.append((partition, message.key(), message.value() or b""))
        reader.close()
        return found

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}\n{self.said()[-3000:]}"
            time.sleep(0.2)


@pytest.fixture
def jobs(kafka_bootstrap: str, classes: Path, libraries: list[Path], tmp_path: Path) -> Jobs:
    return Jobs(kafka_bootstrap, classes, libraries, tmp_path)


def a_label(number: int, task: str, verdict: Verdict, at: datetime) -> bytes:
    return encode(
        Label(
            id=f"label:messages:0:{number}",
            message_id=f"m-{number}",
            origin=Origin("messages", 0, number),
            task=task,
            verdict=verdict,
            risk=0.5,
            severity=None,
            reasons=[],
            thresholds=Thresholds(0.2, 0.7, "none"),
            reading="pooled",
            bundle="0" * 64,
            windows=1,
            truncated=False,
            cached=False,
            screened_at=at,
        )
    )


class Source:
    """Writes labels as workers do, in transactions, of which some are aborted; from a seed."""

    def __init__(self, jobs: Jobs) -> None:
        self._topic = jobs.labels
        self._chance = random.Random(7)  # noqa: S311 - a script, from a seed
        self._number = 0
        self._lately: deque[tuple[int, str, bytes]] = deque(maxlen=20)  # of those at risk
        # Alerts and changelogs have the labels' times, and Kafka deletes what is too old.
        self._now = datetime.now(UTC) - timedelta(minutes=10)
        self._producer = ck.Producer(
            {
                "bootstrap.servers": jobs.bootstrap,
                "transactional.id": jobs.labels,
                "partitioner": "murmur2_random",
            }
        )
        self._producer.init_transactions(30.0)

    def write(self, transactions: int) -> None:
        for _ in range(transactions):
            self._producer.begin_transaction()
            self._now += timedelta(milliseconds=self._chance.choice((0, 40, 400)))
            for _ in range(self._chance.randint(1, 40)):
                self._producer.produce(self._topic, *self._record())
            if self._chance.random() < 0.1:
                self._producer.flush(30.0)
                self._producer.abort_transaction(30.0)
            else:
                self._producer.commit_transaction(30.0)

    def _record(self) -> tuple[bytes, bytes | None]:
        """A value and a key. One in fifty is no label, one in fifty has no key, one in ten comes again."""
        if self._lately and self._chance.random() < 0.1:
            number, task, key = self._chance.choice(self._lately)
            return a_label(number, task, "at_risk", self._now), key
        self._number += 1
        at = self._now - timedelta(milliseconds=self._chance.choice((0, 0, 0, 1, 5000)))
        task, verdict = self._chance.choice(("stress", "stress", "other")), self._chance.choice(VERDICTS)
        # Some conversations are never quiet; most have a message now and then.
        key = f"talk-{int(self._chance.paretovariate(0.4)) % 3000}".encode()
        draw = self._chance.random()
        if draw < 0.02:
            return self._chance.choice((b"", b"{", b'{"id": 7}', b"null", b"\xff")), key
        if draw >= 0.04 and verdict == "at_risk":
            self._lately.append((self._number, task, key))
        value = a_label(self._number, task, verdict, at)
        if draw > 0.7:  # as MIMAMORI_LABEL_FORMAT=json writes them
            value = framed(7, value)
        return value, None if draw < 0.04 else key


def expected(labels: list[tuple[int, bytes | None, bytes]]) -> list[tuple[bytes, Alert]]:
    """What the labels call for, in words: three ids within a minute, and one alert a minute."""
    at_risk: dict[tuple[bytes, str], list[tuple[datetime, str]]] = defaultdict(list)
    alerted: dict[tuple[bytes, str], list[datetime]] = defaultdict(list)
    found = []
    for _, key, value in labels:
        try:
            label = msgspec.json.decode(value.removeprefix(framed(7, b"")), type=Label)
        except msgspec.MsgspecError:
            continue
        if key is None or label.verdict != "at_risk":
            continue
        subject, at = (key, label.task), label.screened_at
        if any(label.id == before and at - WINDOW <= then <= at for then, before in at_risk[subject]):
            continue
        at_risk[subject].append((at, label.id))
        near = sorted((each for each in at_risk[subject] if at - WINDOW <= each[0] <= at), key=lambda x: x[0])
        if len(near) >= AT_LEAST and not any(at - WINDOW <= then <= at for then in alerted[subject]):
            alerted[subject].append(at)
            ids = [number for _, number in near]
            found.append((key, Alert(f"alert:{label.id}", label.task, ids, int(WINDOW.total_seconds()), at)))
    return found


def test_every_alert_is_written_once_though_instances_are_killed(jobs: Jobs) -> None:
    jobs.create(jobs.labels, jobs.alerts)
    source = Source(jobs)
    source.write(150)
    with jobs.running("first") as first, jobs.running("second"):
        jobs.until(lambda: len(jobs.read(jobs.alerts)) > 20, "the first alerts")
        source.write(150)
        first.kill()  # with transactions open, and its state on disk ahead of what is committed
        first.wait()
        source.write(150)
        with jobs.running("first") as again:
            jobs.until(
                lambda: len(jobs.read(jobs.alerts)) > len(expected(jobs.read(jobs.labels))) / 2,
                "half of the alerts, after the kill",
            )
            source.write(150)
            wanted = expected(jobs.read(jobs.labels))
            jobs.until(lambda: len(jobs.read(jobs.alerts)) >= len(wanted), f"{len(wanted)} alerts")
            again.send_signal(signal.SIGTERM)
            assert again.wait(PATIENCE_S) == 128 + signal.SIGTERM, jobs.said()

    found = [(key, msgspec.json.decode(value, type=Alert)) for _, key, value in jobs.read(jobs.alerts)]
    assert len(wanted) > 100
    assert Counter(str(each) for each in found) == Counter(str(each) for each in wanted), jobs.said()[-3000:]
    assert "no label: " in jobs.said()
    assert "talk-" not in jobs.said()  # no key


def test_labels_in_avro_end_it_since_nobody_would_be_alerted(jobs: Jobs) -> None:
    jobs.create(jobs.labels, jobs.alerts)
    producer = ck.Producer({"bootstrap.servers": jobs.bootstrap})
    producer.produce(jobs.labels, framed(7, b"\x10label:m:0"), b"talk-1")
    assert producer.flush(30.0) == 0
    with jobs.running("alone") as alone:
        assert alone.wait(PATIENCE_S) == 1, jobs.said()
    assert "escalations: labels are in Avro: read them with KafkaAvroDeserializer" in jobs.said()


def test_without_its_topic_it_ends_and_says_so(jobs: Jobs) -> None:
    with jobs.running("alone") as alone:
        assert alone.wait(PATIENCE_S) == 1, jobs.said()
    assert "escalations: it cannot go on (MissingSourceTopicException)" in jobs.said()
