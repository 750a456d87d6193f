"""Topics of Apache Kafka that are deleted, made again, emptied or grown under a worker or its clients."""

import contextlib
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewPartitions,
    NewTopic,
)

from tests.fakes.brokers import Listener, make_again, poll_until, take
from tests.integration.test_stream_kafka import PARTITIONS, Stream, Worker
from worker.errors import BrokerError, RetryableError
from worker.kafka import starts
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.producer import KafkaProducer
from worker.kafka.record import Outbound
from worker.kafka.topic_watch import TopicWatch


@pytest.fixture
def stream(request: pytest.FixtureRequest, kafka_bootstrap: str, tmp_path: Path) -> Iterator[Stream]:
    """With the classic protocol, unless the test asks for another."""
    stream = Stream(kafka_bootstrap, tmp_path, getattr(request, "param", "classic"))
    yield stream
    stream.end()


@pytest.fixture
def admin(kafka_bootstrap: str) -> AdminClient:
    config: dict[str, str | int | float | bool] = {"bootstrap.servers": kafka_bootstrap}
    return AdminClient(config)


def make(admin: AdminClient, *topics: str) -> None:
    for creation in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        creation.result(10)


def ended(stream: Stream, worker: Worker) -> str:
    """Wait until it has stopped by itself; returns what it said."""
    stream.wait(lambda: worker.process.poll() is not None)
    assert worker.process.returncode != 0
    return str(worker.events("station_failed"))


def counted(worker: Worker, name: str) -> float:
    """The sum of a counter, over its labels."""
    port = worker.events("worker_started")[0]["health_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_a_topic_made_again_under_a_worker_is_read_from_its_start_by_the_next(
    stream: Stream, admin: AdminClient
) -> None:
    stream.send(200)
    worker = stream.start(0.0)
    stream.wait_for_all()
    make_again(admin, stream.topic)
    assert f"topic {stream.topic} was deleted and made again" in ended(stream, worker)
    stream.labels, stream.sent = [], 0
    stream.send(400)  # more than the old offsets
    successor = stream.start(0.0)
    stream.wait_for_all()
    successor.stop()
    assert stream.committed() == 400


def test_records_deleted_before_they_were_read_are_counted_and_named_once(
    stream: Stream, admin: AdminClient
) -> None:
    stream.send(100)
    first = stream.start(0.0)
    stream.wait_for_all()
    first.stop()
    stream.send(200)
    places = [ck.TopicPartition(stream.topic, number) for number in range(PARTITIONS)]
    client = ck.Consumer({**stream.config, "group.id": stream.group})
    left = client.committed(places, timeout=10)
    low = {place.partition: client.get_watermark_offsets(place, 10)[1] for place in places}
    client.close()
    cut = [ck.TopicPartition(stream.topic, number, offset) for number, offset in low.items()]
    for deletion in admin.delete_records(cut).values():
        deletion.result(10)
    stream.send(100)
    worker = stream.start(0.0)
    stream.wait(lambda: stream.outcomes() == 200)
    told = worker.events("records_deleted_unread")
    assert {(e["topic"], e["partition"], e["first"], e["last"]) for e in told} == {
        (stream.topic, place.partition, place.offset, low[place.partition] - 1) for place in left
    }
    assert sum(int(str(event["records"])) for event in told) == 200
    assert counted(worker, "mimamori_deleted_unread_records_total") == 200
    worker.stop()


@pytest.mark.parametrize("stream", ["classic", "consumer"], indirect=True)
def test_a_partition_added_while_it_runs_is_read_from_its_start(stream: Stream, admin: AdminClient) -> None:
    stream.send(100)
    worker = stream.start(0.0)
    stream.wait_for_all()
    admin.create_partitions([NewPartitions(stream.topic, PARTITIONS + 1)])[stream.topic].result(10)
    producer = ck.Producer(stream.config)
    deadline = time.monotonic() + 20
    while True:
        try:
            producer.produce(stream.topic, b'{"id": "new", "text": "good night"}', partition=PARTITIONS)
        except ck.KafkaException:  # the producer has not heard of the partition
            assert time.monotonic() < deadline
            producer.poll(0.05)
        else:
            break
    assert producer.flush(20) == 0
    stream.wait(lambda: any(label.message_id == "new" for label in stream.labels))
    worker.stop()


def test_a_reader_stops_and_names_the_topic_that_is_gone(kafka_bootstrap: str, admin: AdminClient) -> None:
    topic = f"{uuid.uuid4().hex[:8]}.messages"
    make(admin, topic)
    listener = Listener()
    consumer = KafkaConsumer({"bootstrap.servers": kafka_bootstrap}, topic, topic, listener)
    poll_until(consumer, lambda _: bool(listener.owned))
    admin.delete_topics([topic])[topic].result(10)
    with pytest.raises(BrokerError, match=f"topic {topic} is not there"):
        take(consumer, 1)
    consumer.close()


def test_a_watch_knows_the_topic_apart_from_its_successor_and_from_none(
    kafka_bootstrap: str, admin: AdminClient
) -> None:
    topic = f"{uuid.uuid4().hex[:8]}.messages"
    make(admin, topic)
    watch = TopicWatch({"bootstrap.servers": kafka_bootstrap}, topic)

    def glance(*, unlike: str) -> str:
        deadline = time.monotonic() + 30
        while (seen := watch.glance()) in {"", unlike}:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return seen

    first = glance(unlike="")
    make_again(admin, topic)
    second = glance(unlike=first)
    assert (watch.partitions, watch.topic_id(10)) == (PARTITIONS, second)
    assert watch.silence_s == 0  # what was asked last was answered
    admin.delete_topics([topic])[topic].result(10)
    with pytest.raises(BrokerError, match=f"topic {topic} is not there"):
        glance(unlike=second)


@pytest.mark.parametrize("heard", [True, False])
def test_a_writer_stops_and_names_the_topic_that_is_gone(
    kafka_bootstrap: str, admin: AdminClient, *, heard: bool
) -> None:
    """Where its client has heard that it is gone, it waits for the topic, and the records time out."""
    name = uuid.uuid4().hex[:8]
    messages, outcomes = f"{name}.messages", f"{name}.outcomes"
    make(admin, messages, outcomes)
    config = {"bootstrap.servers": kafka_bootstrap}
    consumer = KafkaConsumer(config, name, messages, Listener())
    producer = KafkaProducer({**config, "message.timeout.ms": 1500}, name)
    poll_until(consumer, lambda _: consumer.membership() is not None)
    outcome = [Outbound(outcomes, b"k", b"v", [])]
    producer.commit(outcome, {(messages, 0): 1}, consumer.membership())
    admin.delete_topics([outcomes])[outcomes].result(10)
    if heard:
        producer._producer.list_topics(outcomes, 10)

    def commit_as_a_worker_does() -> None:
        for _ in range(10):  # the first time, all that is known may be that the record timed out
            with contextlib.suppress(RetryableError):
                producer.commit(outcome, {(messages, 0): 2}, consumer.membership())

    with pytest.raises(BrokerError, match=outcomes):
        commit_as_a_worker_does()
    producer.close()
    consumer.close()


def test_a_partition_that_ends_before_what_was_read_stops_its_reader(
    kafka_bootstrap: str, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the election of a leader that had not got everything: its successor asks the group."""
    monkeypatch.setattr(starts, "BELIEVED_AFTER_S", 1.0)
    topic = f"{uuid.uuid4().hex[:8]}.messages"
    make(admin, topic)
    consumer = KafkaConsumer({"bootstrap.servers": kafka_bootstrap}, topic, topic, Listener())
    sender = ck.Producer({"bootstrap.servers": kafka_bootstrap})
    sender.produce(topic, b"0")
    assert sender.flush(10) == 0
    take(consumer, 1)
    consumer._consumer.seek(ck.TopicPartition(topic, 0, 500))
    consumer._placing._places._next[topic, 0] = 500  # as if records up to there had come
    with pytest.raises(BrokerError, match=r"partition 0, ends at 1, and was read up to 500"):
        take(consumer, 1)
    consumer.close()
