"""Topics on a real Apache Kafka: created once, compared after, never changed."""

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    ConfigResource,
    ResourceType,
)
from typer.testing import CliRunner

from mimamori.cli.topics import topics
from schemas.topics import TopicDefinition, load_topics
from worker.errors import BrokerError
from worker.kafka.topics import apply_topics, read_topics

SMALL = {"replication_factor": 1, "partitions": 2}
COUNT = len(load_topics("", **SMALL))
Client = dict[str, str | int | float | bool]


@pytest.fixture
def client(kafka_bootstrap: str) -> Client:
    return {"bootstrap.servers": kafka_bootstrap}


@pytest.fixture
def prefix(client: Client) -> Iterator[str]:
    """A prefix of this test's own; its topics go with the test."""
    mine = f"topics-{secrets.token_hex(4)}."
    yield mine
    admin = AdminClient(client)
    if names := [name for name in admin.list_topics(timeout=10).topics if name.startswith(mine)]:
        for deletion in admin.delete_topics(names).values():
            deletion.result()


def _changed(definition: TopicDefinition, **fields: object) -> TopicDefinition:
    return msgspec.structs.replace(definition, **fields)


def test_missing_topics_are_created_as_defined(client: Client, prefix: str) -> None:
    definitions = load_topics(prefix, **SMALL)
    states = apply_topics(client, definitions)
    assert [(s.definition, s.partitions, s.created, s.differences) for s in states] == [
        (definition, definition.partitions, True, ()) for definition in definitions
    ]


def test_applying_again_changes_nothing(client: Client, prefix: str) -> None:
    definitions = load_topics(prefix, **SMALL)
    apply_topics(client, definitions[:2])
    again = apply_topics(client, definitions)
    assert [state.created for state in again] == [False, False, *[True] * (len(definitions) - 2)]
    assert apply_topics(client, definitions) == read_topics(client, definitions)


def test_all_may_apply_at_once(client: Client, prefix: str) -> None:
    """Every worker of a deployment may do it when it starts: who comes second finds what it wanted."""
    definitions = load_topics(prefix, **SMALL)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: apply_topics(client, definitions), range(4)))
    for states in answers:
        assert [(s.partitions, s.differences) for s in states] == [(d.partitions, ()) for d in definitions]


class LateBroker:
    """A client whose questions on settings go to a broker that hears of new topics after the others."""

    def __init__(self, config: Client) -> None:
        self._admin = AdminClient(config)
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)

    def describe_configs(self, asked: list[ConfigResource], **options: Any) -> Any:
        if self.refused == 2:
            return self._admin.describe_configs(asked, **options)
        self.refused += 1
        unknown: Future[Any] = Future()
        unknown.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        return dict.fromkeys(asked, unknown)


def test_it_waits_for_a_broker_that_has_not_heard_of_a_new_topic(
    client: Client, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = LateBroker(client)
    monkeypatch.setattr("worker.kafka.topics.make_admin", lambda _: late)
    states = apply_topics(client, load_topics(prefix, **SMALL))
    assert late.refused == 2
    assert all(state.created and not state.differences for state in states)


def test_a_dry_run_creates_nothing(client: Client, prefix: str) -> None:
    definitions = load_topics(prefix, **SMALL)
    assert [state.partitions for state in apply_topics(client, definitions, dry_run=True)] == [None] * COUNT
    assert [state.partitions for state in read_topics(client, definitions)] == [None] * COUNT


def test_what_differs_is_told_with_its_remedy_and_left_alone(client: Client, prefix: str) -> None:
    (labels,) = (topic for topic in load_topics(prefix, **SMALL) if topic.event == "label")
    apply_topics(client, [labels])
    wanted = _changed(
        labels, partitions=6, retention_hours=1, max_message_bytes=2_000_000, replication_factor=3
    )
    (state,) = apply_topics(client, [wanted])
    told = {difference.setting: difference for difference in state.differences}
    assert {setting: (d.expected, d.actual) for setting, d in told.items()} == {
        "partitions": ("6", "2"),
        "replication factor": ("3", "1"),
        "retention.ms": ("3600000", "604800000"),
        "max.message.bytes": ("2000000", "1048576"),
    }
    assert f"--alter --topic {labels.name} --partitions 6" in told["partitions"].remedy
    assert f"--entity-name {labels.name} --add-config retention.ms=3600000" in told["retention.ms"].remedy
    assert not state.created
    assert read_topics(client, [labels])[0].differences == ()


def test_partitions_are_never_taken_away(client: Client, prefix: str) -> None:
    (labels,) = (topic for topic in load_topics(prefix, **SMALL) if topic.event == "label")
    apply_topics(client, [labels])
    (state,) = apply_topics(client, [_changed(labels, partitions=1)])
    assert "cannot be taken away" in state.differences[0].remedy
    assert state.partitions == 2


def test_one_that_cannot_be_created_does_not_stop_the_others(client: Client, prefix: str) -> None:
    first, second, *_ = load_topics(prefix, **SMALL)
    with pytest.raises(BrokerError, match=rf"cannot create {first.name}: .*--replication-factor"):
        apply_topics(client, [_changed(first, replication_factor=3), second])
    assert [state.partitions for state in read_topics(client, [first, second])] == [None, 2]


def test_a_created_topic_takes_a_record_as_large_as_it_promises(client: Client, prefix: str) -> None:
    (letters,) = (topic for topic in load_topics(prefix, **SMALL) if topic.event == "dead-letter")
    apply_topics(client, [letters])
    value = b"x" * (letters.max_message_bytes - 1000)
    failures = []
    producer = Producer({**client, "message.max.bytes": letters.max_message_bytes})
    producer.produce(letters.name, value, partition=0, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(20) == 0
    assert failures == [None]
    consumer = Consumer({**client, "group.id": letters.name})
    consumer.assign([TopicPartition(letters.name, 0, 0)])
    record = consumer.poll(20)
    consumer.close()
    assert record is not None
    assert record.value() == value


def test_the_command_creates_then_finds_everything_in_place(kafka_bootstrap: str, prefix: str) -> None:
    arguments = ["--bootstrap", kafka_bootstrap, "--prefix", prefix, "--replication-factor", "1"]
    arguments += ["--partitions-override", "2"]
    run = CliRunner().invoke
    assert f"{COUNT} would be created" in run(topics, ["apply", "--dry-run", *arguments]).stdout
    first = run(topics, ["apply", *arguments])
    assert (first.exit_code, f"{COUNT} created, {COUNT} present" in first.stdout) == (0, True)
    second = run(topics, ["apply", *arguments])
    assert (second.exit_code, f"0 created, {COUNT} present" in second.stdout) == (0, True)
    listed = run(topics, ["list", *arguments[:-1], "3"])
    assert listed.exit_code == 0
    assert f"{prefix}labels: partitions is 2, the definition says 3" in listed.stdout


def test_the_command_keeps_to_the_environment(
    kafka_bootstrap: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("MIMAMORI_TOPIC_PREFIX", prefix)
    listed = CliRunner().invoke(topics, ["list"])
    assert listed.exit_code == 0
    assert listed.stdout.count("missing") == COUNT


def test_config_of_a_created_topic_is_its_own_not_the_brokers(client: Client, prefix: str) -> None:
    """A broker's defaults may change under a topic; what was promised must not change with them."""
    definition = load_topics(prefix, **SMALL)[0]
    apply_topics(client, [definition])
    resource = ConfigResource(ResourceType.TOPIC, definition.name)
    admin = AdminClient(client)  # the answer is lost with it
    entries = admin.describe_configs([resource])[resource].result()
    assert not any(entries[setting].is_default for setting in definition.config)
