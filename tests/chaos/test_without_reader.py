"""Partitions that no member of the group reads are noticed, and those that a client has stopped to fetch.

The first is forced as it happens: a member with a `group.instance.id` stands still at the moment at which it
is to give up partitions, and another process takes its id. No race decides whether it does.
"""

import threading
import time
import uuid
from collections.abc import Callable

import confluent_kafka as ck
import pytest
from structlog.testing import capture_logs

import schemas
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Label, Message
from tests.fakes.brokers import Listener
from tests.fakes.worker_app import Running, build_app
from worker import assembly
from worker.errors import BrokerError
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.reader import Reader
from worker.kafka.sender import Sender
from worker.kafka.topics import apply_topics
from worker.settings import GroupProtocol, Settings
from worker.telemetry.metrics import Metrics

PARTITIONS = 4
LOOK_EVERY_S = 0.4


class Ground:
    """Topics of their own, and the workers that read them."""

    def __init__(self, bootstrap: str) -> None:
        self.prefix = f"{uuid.uuid4().hex[:8]}."
        self.config = {"bootstrap.servers": bootstrap}
        self.names = schemas.topic_names(self.prefix)
        apply_topics(
            self.config, schemas.load_topics(self.prefix, partitions=PARTITIONS, replication_factor=1)
        )
        self.metrics: list[Metrics] = []
        self.sent = 0

    def send(self, number: int) -> None:
        with Sender(self.config) as sender:
            for n in range(self.sent, self.sent + number):
                value = schemas.encode(Message(f"m{n}", f"quiet evening {n}"))
                sender.send(self.names[Message], value, str(n % 37).encode())
        self.sent += number

    def start(self, name: str, **kafka: str) -> Running:
        """Start a worker that takes some milliseconds for a message, and looks at its group all the time."""
        settings = Settings(
            bootstrap=self.config["bootstrap.servers"],
            group=self.prefix,
            topic_prefix=self.prefix,
            transactional_id=f"{self.prefix}{name}",
            kafka=kafka,
            revoke_s=LOOK_EVERY_S,
            max_records=20,
            health_port=0,
        )
        metrics = Metrics()
        self.metrics.append(metrics)
        app = build_app(settings, engine=CannedEngine(seconds_per_message=0.002), metrics=metrics)
        producer = assembly.open_producer(settings)
        return Running(app, lambda listener: assembly.join_group(settings, listener), producer)

    def total(self, name: str) -> float:
        return sum(metrics.registry.get_sample_value(name) or 0 for metrics in self.metrics)


@pytest.fixture
def ground(kafka_bootstrap: str) -> Ground:
    return Ground(kafka_bootstrap)


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.parametrize("colleague", [{}, {"group.instance.id": "two"}], ids=["dynamic", "static"])
def test_what_a_frozen_member_was_to_give_up_gets_a_reader(
    ground: Ground, colleague: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the watch, two of four partitions stay without labels until somebody joins or leaves."""
    monkeypatch.setattr(assembly, "LOOK_AFTER_REVOKE_S", 0.0)
    gives_up, thaws = threading.Event(), threading.Event()

    def stand_still() -> None:
        gives_up.set()
        thaws.wait(40)

    listener = Listener(stand_still)
    frozen = KafkaConsumer(
        {**ground.config, "group.instance.id": "one"}, ground.prefix, ground.names[Message], listener
    )
    fenced: list[BrokerError] = []

    def poll() -> None:
        try:
            while True:
                frozen.poll(1, 0.1)
        except BrokerError as error:
            fenced.append(error)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    wait(lambda: len(listener.owned) == PARTITIONS, "the first member was not given all partitions")
    ground.send(150)
    first = ground.start("two", **colleague)
    wait(gives_up.is_set, "the first member was not told to give up partitions")
    second = ground.start("one", **{"group.instance.id": "one"})
    wait(second.app.ready.is_set, "the successor was not let in")
    thaws.set()
    wait(lambda: fenced, "the frozen member goes on")
    labels: list[Label] = []
    told: set[float] = set()
    with Reader(ground.config, [ground.names[Label]], from_beginning=True) as reader:

        def read() -> int:
            told.add(ground.total("mimamori_partitions_without_reader"))
            labels.extend(schemas.decode(Label, record.value or b"") for record in reader.poll())
            return len(labels)

        ground.send(150)
        wait(lambda: read() >= ground.sent, "partitions have no reader")
        wait(
            lambda: not ground.total("mimamori_partitions_without_reader") or read() < 0,
            "they are still counted as without a reader",
        )
        first.stop()
        second.stop()
        read()
    assert sorted(label.message_id for label in labels) == sorted(f"m{n}" for n in range(ground.sent))
    assert max(told) >= PARTITIONS // 2
    assert ground.total("mimamori_rejoins_total") >= 1
    assert ground.total("mimamori_fetch_restarts_total") == 0
    thread.join(10)
    frozen.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_partition_that_the_client_stopped_to_fetch_is_fetched_anew(
    ground: Ground, protocol: GroupProtocol
) -> None:
    """As a partition that stays paused in the client, which happens: see `Fetching.let`."""
    listener = Listener()
    topic = ground.names[Message]
    consumer = KafkaConsumer(
        ground.config, ground.prefix, topic, listener, protocol, look_every_s=LOOK_EVERY_S
    )
    read: list[tuple[int, int]] = []

    def poll() -> int:
        read.extend((record.partition, record.offset) for record in consumer.poll(100, 0.05))
        return len(read)

    ground.send(150)
    wait(lambda: poll() == ground.sent, "it does not read at all")
    joined = len(listener.looks)  # a new topic's partitions may be given out later than a look or two
    consumer._consumer.pause([ck.TopicPartition(topic, 1)])
    with capture_logs() as logs:
        ground.send(150)
        wait(lambda: poll() == ground.sent, "a partition is not fetched")
    assert len(set(read)) == ground.sent
    (line,) = [line for line in logs if line["event"] == "partition_not_fetched"]
    assert line["partition"] == 1
    assert sum(look.fetched_anew for look in listener.looks[joined:]) == 1
    assert not any(look.joins_anew for look in listener.looks[joined:])
    consumer.close()
