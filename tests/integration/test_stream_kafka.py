"""Worker processes with a canned engine on Apache Kafka, with each of its two group protocols.

What is tested is the stream, not the model: rebalances, slow batches, the drain. Every message has a text of
its own, so that what an engine has read and what became a label can be compared.
"""

import json
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import confluent_kafka as ck
import pytest

import schemas
from mimamori import process
from schemas.events import Label, Message
from tests.fakes.brokers import Listener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.reader import Reader
from worker.kafka.record import Partition
from worker.kafka.sender import Sender
from worker.kafka.topics import apply_topics
from worker.settings import GroupProtocol

PARTITIONS = 4
QUICK = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300}


class Worker:
    """A process, its log, and after its end how many texts its engine has read."""

    def __init__(
        self, log: Path, environment: dict[str, str], command: Sequence[str] = ("tests.fakes.canned_worker",)
    ) -> None:
        self._log, self._told = log, log.with_suffix(".out")
        self.process = process.start(command, {}, log, beside=environment, output=self._told)

    def events(self, name: str) -> list[dict[str, object]]:
        """Its log's lines of one kind."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def owns_some(self) -> bool:
        """Whether it was given partitions."""
        return any(event["partitions"] for event in self.events("assignment_changed"))

    def drain(self) -> None:
        """SIGTERM, and an orderly end."""
        self.process.terminate()
        assert self.process.wait(30) == 0, self._log.read_text()

    def stop(self) -> int:
        """Drain a canned worker; returns how many texts its engine has read."""
        self.drain()
        return int(self._told.read_text())


class Stream:
    """A platform with topics of its own, its workers, and an open reader of all outcomes."""

    def __init__(self, bootstrap: str, folder: Path, protocol: GroupProtocol) -> None:
        self.protocol: GroupProtocol = protocol
        self.group = self.prefix = f"{uuid.uuid4().hex[:8]}."
        self.config = {"bootstrap.servers": bootstrap}
        self.workers: list[Worker] = []
        self.sent = 0
        self.labels: list[Label] = []
        self._folder = folder
        names = schemas.topic_names(self.prefix)
        self.topic = names[Message]
        definitions = schemas.load_topics(self.prefix, replication_factor=1, partitions=PARTITIONS)
        apply_topics(self.config, definitions)
        self._reader = Reader(self.config, [names[Label]], from_beginning=True)

    def send(self, number: int) -> None:
        with Sender(self.config) as sender:
            for n in range(self.sent, self.sent + number):
                value = json.dumps({"id": f"m{n}", "text": f"quiet evening {n}"}).encode()
                sender.send(self.topic, value, str(n % 37).encode())
        self.sent += number

    def start(
        self, seconds_per_message: float, kafka: dict[str, int] | None = None, **settings: str
    ) -> Worker:
        # The consumer protocol has its session timeout from the broker: the sandbox's is the same.
        session = {"session.timeout.ms": 6000} if self.protocol == "classic" else {}
        environment = {
            "MIMAMORI_BOOTSTRAP": self.config["bootstrap.servers"],
            "MIMAMORI_TOPIC_PREFIX": self.prefix,
            "MIMAMORI_GROUP": self.group,
            "MIMAMORI_GROUP_PROTOCOL": self.protocol,
            "MIMAMORI_KAFKA": json.dumps(session | (kafka or {})),
            "MIMAMORI_HEALTH_PORT": "0",
            "MIMAMORI_MAX_RECORDS": "50",
            "SECONDS_PER_MESSAGE": str(seconds_per_message),
            **settings,
        }
        worker = Worker(self._folder / f"worker-{len(self.workers)}.log", environment)
        self.workers.append(worker)
        return worker

    def outcomes(self) -> int:
        """Read on; returns how many labels a read-committed reader has seen."""
        self.labels += [schemas.decode(Label, record.value or b"") for record in self._reader.poll()]
        return len(self.labels)

    def wait(self, condition: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited too long, with {len(self.labels)} of {self.sent}"
            self.outcomes()

    def wait_for_all(self) -> None:
        """Until each record has an outcome; then each has one alone, in its partition's order."""
        self.wait(lambda: self.outcomes() >= self.sent)
        offsets: dict[int, list[int]] = {}
        for label in self.labels:
            offsets.setdefault(label.origin.partition, []).append(label.origin.offset)
        assert all(found == list(range(len(found))) for found in offsets.values())
        assert len(self.labels) == self.sent
        assert Counter(label.message_id for label in self.labels) == Counter(
            f"m{n}" for n in range(self.sent)
        )

    def committed(self) -> int:
        """Records before the group's committed offsets."""
        places = [ck.TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        client = ck.Consumer({**self.config, "group.id": self.group})
        total = sum(max(0, place.offset) for place in client.committed(places, timeout=20))
        client.close()
        return total

    def end(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        self._reader.__exit__(None, None, None)


@pytest.fixture(params=["classic", "consumer"])
def stream(request: pytest.FixtureRequest, kafka_bootstrap: str, tmp_path: Path) -> Iterator[Stream]:
    stream = Stream(kafka_bootstrap, tmp_path, request.param)
    yield stream
    stream.end()


def test_a_join_a_kill_and_a_leave_cost_no_outcome_and_repeat_none(stream: Stream) -> None:
    stream.send(4000)
    first = stream.start(0.002, MIMAMORI_TRANSACTIONAL_ID=f"{stream.prefix}first")
    stream.wait(lambda: len(stream.labels) > 100)
    second = stream.start(0.002, MIMAMORI_TRANSACTIONAL_ID=f"{stream.prefix}second")
    stream.wait(second.owns_some)
    seen = len(stream.labels)
    stream.wait(lambda: len(stream.labels) > seen + 200)
    assert len(stream.labels) < stream.sent, "it was too quick for this test"
    second.process.kill()
    second.process.wait()
    # Under the same id: what the killed one had begun is aborted at once, not at its timeout.
    third = stream.start(0.0005, MIMAMORI_TRANSACTIONAL_ID=f"{stream.prefix}second")
    stream.wait(third.owns_some)
    first.stop()
    stream.send(200)
    stream.wait_for_all()
    third.stop()
    assert stream.committed() == stream.sent


def test_a_batch_of_minutes_does_not_cost_the_membership(stream: Stream) -> None:
    """Scaled down: batches of 5 s, where whoever does not poll for 3 s is taken for dead."""
    stream.send(32)
    impatient = {"max.poll.interval.ms": 3000}
    impatient |= QUICK if stream.protocol == "classic" else {}
    # One batch at a time: whoever waits for room must go on polling.
    worker = stream.start(0.3, impatient, MIMAMORI_MAX_RECORDS="16", MIMAMORI_MAX_BATCHES="1")
    stream.wait_for_all()
    assert worker.stop() == 32  # nothing was read twice
    assert not worker.events("partitions_lost")
    assert not worker.events("rewound_to_committed")


def test_sigterm_under_load_drains_and_nothing_is_redone(stream: Stream) -> None:
    stream.send(3000)
    first = stream.start(0.002)
    stream.wait(lambda: len(stream.labels) > 100)
    read_by_first = first.stop()
    stream.wait(lambda: len(stream.labels) >= stream.committed())
    assert len(stream.labels) == stream.committed() == read_by_first < stream.sent
    second = stream.start(0.0002)
    stream.wait_for_all()
    assert second.stop() == stream.sent - read_by_first


class Told(Listener):
    """Remembers what it was told was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: set[Partition] = set()

    def lost(self, partitions: Sequence[Partition]) -> None:
        super().lost(partitions)
        self.gone |= set(partitions)


def test_who_stood_still_for_too_long_is_told_so_and_gets_back_in(stream: Stream) -> None:
    listener = Told()
    impatient = {**stream.config, "max.poll.interval.ms": 2000}
    impatient |= QUICK if stream.protocol == "classic" else {}
    consumer = KafkaConsumer(impatient, stream.group, stream.topic, listener, stream.protocol)

    def poll(until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not until():
            assert time.monotonic() < deadline
            consumer.poll(10, 0.1)

    poll(lambda: len(listener.owned) == PARTITIONS)
    before = consumer.membership()
    time.sleep(3)  # this is the fault: a process that is stopped, or a disk that hangs
    poll(lambda: len(listener.gone) == PARTITIONS)
    poll(lambda: len(listener.owned) == PARTITIONS)
    assert consumer.membership() != before
    consumer.close()


def test_workers_of_both_protocols_run_in_one_group_while_it_changes_over(stream: Stream) -> None:
    stream.send(3000)
    old = stream.start(0.002)
    stream.wait(lambda: len(stream.labels) > 100)
    stream.protocol = "consumer" if stream.protocol == "classic" else "classic"
    new = stream.start(0.001)
    stream.wait(new.owns_some)
    assert len(stream.labels) < stream.sent, "it was too quick for this test"
    old.process.send_signal(signal.SIGTERM)
    assert old.process.wait(30) == 0
    stream.wait_for_all()
    new.stop()
