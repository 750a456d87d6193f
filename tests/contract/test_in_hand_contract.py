"""What the worker relies on of the notes' topic, in memory and on Apache Kafka alike."""

import uuid
from collections.abc import Callable

import pytest

from schemas.topics import in_hand_topic, load_topics
from tests.fakes.memory_broker import MemoryInHandTopic
from worker.errors import BrokerError
from worker.kafka import InHandTopic
from worker.kafka.in_hand_topic import KafkaInHandTopic
from worker.kafka.record import Partition
from worker.kafka.topics import apply_topics

Open = Callable[[str], InHandTopic]  # by group

PLACES = [("messages", 0), ("messages", 1)]


@pytest.fixture(params=["memory", "kafka"])
def open_topic(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":
        groups: dict[str, dict[Partition, bytes]] = {}
        return lambda group: MemoryInHandTopic(groups.setdefault(group, {}))
    config = {"bootstrap.servers": request.getfixturevalue("kafka_bootstrap")}
    prefix = f"{uuid.uuid4().hex[:8]}."
    apply_topics(config, load_topics(prefix, replication_factor=1, partitions=4))
    return lambda group: KafkaInHandTopic(config, group, in_hand_topic(prefix))


def test_nothing_is_found_where_nothing_was_written(open_topic: Open) -> None:
    assert open_topic("a").read(PLACES) == {}


def test_whoever_reads_finds_the_newest_note_of_what_it_asks_for(open_topic: Open) -> None:
    writer = open_topic("a")
    for number in range(40):
        writer.write({place: f"{number} of {place}".encode() for place in PLACES})
    writer.settle()
    assert open_topic("a").read(PLACES[:1]) == {PLACES[0]: b"39 of ('messages', 0)"}
    assert open_topic("a").read([*PLACES, ("messages", 2)]).keys() == set(PLACES)
    writer.close()


def test_groups_do_not_see_each_other(open_topic: Open) -> None:
    writer = open_topic("a")
    writer.write({PLACES[0]: b"ours"})
    writer.settle()
    assert open_topic("a/messages").read(PLACES) == {}
    assert open_topic("b").read(PLACES) == {}


def test_what_was_sent_last_arrives_when_the_writer_ends_in_order(open_topic: Open) -> None:
    writer = open_topic("a")
    writer.write({PLACES[0]: b"held"})
    writer.write({PLACES[0]: b"released"})
    writer.close()
    assert open_topic("a").read(PLACES) == {PLACES[0]: b"released"}


def test_a_topic_that_is_not_there_is_named_with_its_remedy(kafka_bootstrap: str) -> None:
    topic = KafkaInHandTopic({"bootstrap.servers": kafka_bootstrap}, "a", "nobody-made.in-hand")
    with pytest.raises(BrokerError, match=r"nobody-made\.in-hand is not there: run `mimamori topics apply`"):
        topic.read(PLACES)


def test_settings_of_the_membership_are_not_this_client_s(kafka_bootstrap: str) -> None:
    """With group.protocol=consumer a poll interval may be shorter than the classic session timeout."""
    prefix = f"{uuid.uuid4().hex[:8]}."
    config = {"bootstrap.servers": kafka_bootstrap}
    apply_topics(config, load_topics(prefix, replication_factor=1, partitions=1))
    impatient = {**config, "max.poll.interval.ms": 3000, "group.instance.id": "a"}
    assert KafkaInHandTopic(impatient, "a", in_hand_topic(prefix)).read(PLACES) == {}
