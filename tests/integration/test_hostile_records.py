"""Nothing that a producer can write stops a worker: hostile records on Apache Kafka, one outcome each.

`HOSTILE_RECORDS=10000 HOSTILE_SEED=7 pytest tests/integration/test_hostile_records.py` is the full size.
"""

import json
import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

import schemas
from schemas.events import DeadLetter, Label, Message, ReviewCase
from tests.fakes.hostile import garbage_batches, hostile_batches
from tests.fakes.raw_kafka import RawProducer, RawRecord, batch_bytes, batch_of, record_bytes
from tests.integration.test_stream_kafka import Worker
from worker.kafka.reader import Reader
from worker.kafka.topics import apply_topics
from worker.stream.room import SMALLEST

PARTITIONS = 3
RECORDS = int(os.environ.get("HOSTILE_RECORDS", "400"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
VALUE = b'{"id":"m","text":"quiet evening"}'
Place = tuple[int, int]


class Platform:
    """Topics of its own, one worker on them, and what a read-committed reader has seen of its outcomes."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"{uuid.uuid4().hex[:8]}."
        self.config: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap}
        self.names = schemas.topic_names(self.prefix)
        self.topic = self.names[Message]
        self.sent: dict[Place, bool | None] = {}
        self.outcomes: list[Label | DeadLetter] = []
        self.refused: list[int] = []
        self.workers: list[Worker] = []
        self._ends = [0] * PARTITIONS
        self._folder = folder
        # Kafka's default lets no timestamp be more than an hour ahead; older brokers take any. The topic is
        # created with this setting, since a broker follows a change of it only some time after its answer.
        # Records that are years old would go at Kafka's next look, which it takes every five minutes.
        any_time = NewTopic(
            self.topic,
            PARTITIONS,
            1,
            config={"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"},
        )
        admin = AdminClient(self.config)
        admin.create_topics([any_time])[self.topic].result()
        apply_topics(
            self.config, schemas.load_topics(self.prefix, replication_factor=1, partitions=PARTITIONS)
        )
        self._reader = Reader(self.config, [self.names[Label], self.names[DeadLetter]], from_beginning=True)

    def set(self, topic: str, name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = AdminClient(self.config)
        (future,) = admin.incremental_alter_configs([resource]).values()
        future.result()

    def send(self, producer: RawProducer, partition: int, batch: bytes, labels: list[bool | None]) -> None:
        """One batch; where Kafka refuses it, only the code of its error is kept."""
        if code := producer.send(self.topic, partition, batch):
            self.refused.append(code)
            return
        for label in labels:
            self.sent[partition, self._ends[partition]] = label
            self._ends[partition] += 1

    def start(self, **settings: str) -> Worker:
        environment = {
            "MIMAMORI_BOOTSTRAP": self.bootstrap,
            "MIMAMORI_TOPIC_PREFIX": self.prefix,
            "MIMAMORI_GROUP": self.prefix,
            "MIMAMORI_KAFKA": json.dumps({"session.timeout.ms": 6000}),
            "MIMAMORI_HEALTH_PORT": "0",
            "SECONDS_PER_MESSAGE": "0",
            **settings,
        }
        worker = Worker(self._folder / f"worker-{len(self.workers)}.log", environment)
        self.workers.append(worker)
        return worker

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60 + RECORDS / 50
        while not condition():
            assert time.monotonic() < deadline, f"{len(self.outcomes)} outcomes of {len(self.sent)} records"
            assert self.workers[-1].process.poll() is None, self.workers[-1].events("station_failed")
            for record in self._reader.poll():
                self.outcomes.append(
                    schemas.decode(Label, record.value or b"")
                    if record.topic == self.names[Label]
                    else schemas.decode(DeadLetter, record.value or b"")
                )

    def wait_for_all(self) -> None:
        self.wait(lambda: len(self.outcomes) >= len(self.sent))

    def origins(self) -> Counter[Place]:
        return Counter((event.origin.partition, event.origin.offset) for event in self.outcomes)

    def end(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        self._reader.__exit__(None, None, None)


@pytest.fixture
def platform(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Platform]:
    platform = Platform(kafka_bootstrap, tmp_path)
    yield platform
    platform.end()


def test_each_hostile_record_has_one_outcome_and_the_worker_goes_on(platform: Platform) -> None:
    rng = random.Random(SEED)  # noqa: S311 - no secret
    for batch in hostile_batches(SEED, RECORDS):
        with RawProducer(platform.bootstrap) as producer:
            platform.send(producer, rng.randrange(PARTITIONS), batch.content, batch.labels)
    assert platform.refused == []
    garbage = garbage_batches(rng)
    for content in garbage:
        with RawProducer(platform.bootstrap) as producer:
            platform.send(producer, 0, content, [None])
    assert len(platform.refused) == len(garbage)
    worker = platform.start(MIMAMORI_DEAD_LETTER_ORIGINAL="true", MIMAMORI_MAX_RECORDS="200")
    platform.wait_for_all()
    worker.stop()
    assert len(platform.sent) == RECORDS
    assert platform.origins() == Counter(platform.sent.keys())
    labelled = {(e.origin.partition, e.origin.offset) for e in platform.outcomes if isinstance(e, Label)}
    assert {place for place, label in platform.sent.items() if label} <= labelled
    assert not labelled & {place for place, label in platform.sent.items() if label is False}
    assert not worker.events("rewound_to_committed")
    print(Counter(e.reason if isinstance(e, DeadLetter) else "label" for e in platform.outcomes))  # noqa: T201 - the figures of a full-size run


def test_a_hundred_thousand_headers_leave_no_memory_behind(platform: Platform) -> None:
    """What the client makes of one such record is given back: twenty more cost less than 100 MB."""
    crowded = batch_of([RawRecord(VALUE, headers=[(b"%d" % n, None) for n in range(100_000)])])
    worker = platform.start()

    def answer(records: int) -> int:
        with RawProducer(platform.bootstrap) as producer:
            for _ in range(records):
                platform.send(producer, 0, crowded, [True])
        platform.wait_for_all()
        status = Path(f"/proc/{worker.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    first = answer(1)
    assert answer(20) - first < 100_000
    worker.stop()
    assert platform.origins() == Counter(platform.sent.keys())
    assert all(isinstance(event, Label) for event in platform.outcomes)


def test_an_offset_beyond_the_end_is_a_dead_letter_where_the_record_stands(platform: Platform) -> None:
    """Seen on Kafka 4.3: the offsets inside a batch that is not compressed are the producer's own words."""
    honest = batch_of([RawRecord(VALUE)])
    lying = batch_bytes(record_bytes(RawRecord(VALUE), 7) + record_bytes(RawRecord(VALUE), 8), 2)
    with RawProducer(platform.bootstrap) as producer:
        platform.send(producer, 0, honest, [True])
        worker = platform.start()
        platform.wait_for_all()
        platform.send(producer, 0, lying, [False, False])
        platform.wait_for_all()
        for _ in range(20):
            platform.send(producer, 0, honest, [True])
        platform.wait_for_all()
    worker.stop()
    second = platform.start()
    platform.wait(second.owns_some)
    with RawProducer(platform.bootstrap) as producer:
        platform.send(producer, 0, honest, [True])
    platform.wait_for_all()
    second.stop()
    assert platform.origins() == Counter(platform.sent.keys())
    letters = [event for event in platform.outcomes if isinstance(event, DeadLetter)]
    assert [(letter.reason, letter.origin.offset) for letter in letters] == [
        ("unreadable_record", 1),
        ("unreadable_record", 2),
    ]


def test_an_outcome_fits_its_topic_however_small_the_topic_is(platform: Platform) -> None:
    """Kafka refuses what is larger, and would again after every restart."""
    for kind in (Label, ReviewCase, DeadLetter):
        platform.set(platform.names[kind], "max.message.bytes", str(SMALLEST))
    texts = [f"begin {n} " + "so much to say " * 6000 + "end" for n in range(8)]
    values = [json.dumps({"id": "m", "text": text}).encode() for text in texts]
    values += [b"no message" * 9000, *([VALUE] * 300)]  # the last ones' labels are a large batch, if they may
    with RawProducer(platform.bootstrap) as producer:
        for value in values:
            platform.send(producer, 0, batch_of([RawRecord(value)]), [None])
    worker = platform.start(MIMAMORI_DEAD_LETTER_ORIGINAL="true")
    platform.wait_for_all()
    worker.stop()
    assert platform.origins() == Counter(platform.sent.keys())
    (letter,) = (event for event in platform.outcomes if isinstance(event, DeadLetter))
    assert (letter.original, letter.original_size) == (None, 90_000)
    escalated = sum(isinstance(event, Label) and event.verdict != "clear" for event in platform.outcomes)
    cases: list[ReviewCase] = []
    with Reader(platform.config, [platform.names[ReviewCase]], from_beginning=True) as reader:
        while len(cases) < escalated + 1:  # and one for the dead letter
            cases += [schemas.decode(ReviewCase, record.value or b"") for record in reader.poll(timeout_s=10)]
    shortened = [case for case in cases if case.text_shortened and case.kind != "unread"]
    assert shortened
    assert all(str(case.text).startswith("begin") and str(case.text).endswith("end") for case in shortened)
