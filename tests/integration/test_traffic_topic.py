"""Unlabelled traffic from a real Apache Kafka: what stands last in a topic, of committed messages alone."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)

import schemas
from mimamori.cli.traffic import read_decisions, read_traffic
from schemas import encode
from schemas.events import Message
from tests.fakes.forms import every_form
from tests.fakes.worker_app import wait_for
from worker.errors import BrokerError
from worker.kafka.latest import latest
from worker.registry.framing import framed


@pytest.fixture
def config(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How the tests reach Kafka; the commands get there by their own settings."""
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", kafka_bootstrap)
    return {"bootstrap.servers": kafka_bootstrap}


@pytest.fixture
def topic(config: dict[str, Any]) -> Iterator[str]:
    """A topic of three partitions; it goes with the test."""
    name = f"traffic-{secrets.token_hex(4)}"
    admin = AdminClient(config)
    # The records of these tests are years old, and Kafka looks every five minutes for what is to go.
    kept = NewTopic(name, 3, 1, config={"retention.ms": "-1"})
    admin.create_topics([kept])[name].result()
    # The controller has it; a broker under load may hear of it a moment later.
    wait_for(lambda: admin.list_topics(name, 10).topics[name].error is None, why=f"{name} at the broker")
    yield name
    admin.delete_topics([name])[name].result()


def _send(config: dict[str, Any], topic: str, numbers: range, *, commit: bool = True) -> None:
    producer = Producer({**config, "transactional.id": secrets.token_hex(4)})
    producer.init_transactions(10)
    producer.begin_transaction()
    for number in numbers:
        value = encode(Message(id=f"m-{number}", text=f"text {number}"))
        producer.produce(topic, value, partition=number % 3, timestamp=1_700_000_000_000 + number)
    producer.flush(10)
    (producer.commit_transaction if commit else producer.abort_transaction)(10)


def _until_read(config: dict[str, Any], topic: str, count: int) -> None:
    """Wait for the broker's markers: a commit returns before the last of them is written."""
    deadline = time.monotonic() + 60
    while len(latest(config, topic, 1000)) < count:
        assert time.monotonic() < deadline, f"{count} messages were committed to {topic}"


def test_the_last_committed_messages_are_read_in_order(config: dict[str, Any], topic: str) -> None:
    _send(config, topic, range(60))
    _send(config, topic, range(60, 70), commit=False)
    _until_read(config, topic, 60)
    read = latest(config, topic, 20)
    assert [record.timestamp_ms - 1_700_000_000_000 for record in read] == list(range(40, 60))
    assert len(latest(config, topic, 1000)) == 60


def test_an_empty_topic_has_no_traffic(config: dict[str, Any], topic: str) -> None:
    assert latest(config, topic, 20) == []


def test_a_topic_that_is_not_there_is_named(config: dict[str, Any]) -> None:
    with pytest.raises(BrokerError, match=r"topic nowhere is not there"):
        latest(config, "nowhere", 20)


def test_the_command_reads_texts_and_counts_what_is_no_message(
    config: dict[str, Any],
    topic: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    producer = Producer(config)
    producer.produce(topic, b"private words that are no JSON", partition=0)
    producer.flush(10)
    _send(config, topic, range(5))
    _until_read(config, topic, 6)
    texts = list(read_traffic(f"topic:{topic}", None, lambda *_: None, most=100))
    assert sorted(texts) == [f"text {number}" for number in range(5)]
    said = capsys.readouterr().err
    assert f"1 records of {topic} are no messages" in said
    assert "private" not in said


def test_framed_messages_are_traffic_too_and_without_a_registry_they_are_counted(
    config: dict[str, Any],
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    producer = Producer(config)
    with every_form(monkeypatch) as encode_in_turn:
        for number in range(30):
            producer.produce(topic, encode_in_turn(Message(id=f"m-{number}", text=f"text {number}")))
        producer.produce(topic, framed(99, b"private words of an unknown schema"))
        producer.flush(10)
        texts = list(read_traffic(f"topic:{topic}", None, lambda *_: None, most=100))
        assert sorted(texts) == sorted(f"text {number}" for number in range(30))
        assert f"1 records of {topic} are no messages" in capsys.readouterr().err
    monkeypatch.delenv("MIMAMORI_SCHEMA_REGISTRY_URL")
    texts = list(read_traffic(f"topic:{topic}", None, lambda *_: None, most=100))
    assert sorted(texts) == sorted(f"text {number}" for number in range(0, 30, 3))
    said = capsys.readouterr().err
    assert f"21 records of {topic} are framed for a schema registry and were left out: set" in said
    assert "private" not in said


def test_cases_and_decisions_are_read_from_a_topic_and_from_a_file(
    config: dict[str, Any],
    topic: str,
    tmp_path: Path,
) -> None:
    examples = Path(schemas.__file__).parent / "examples"
    case, decision = (
        msgspec.json.encode(msgspec.json.decode((examples / name).read_bytes())[0]["payload"])
        for name in ("review-case.json", "review-decision.json")
    )
    producer = Producer(config)
    for partition in range(3):
        producer.produce(topic, case, partition=partition)
    producer.flush(10)
    file = tmp_path / "decisions.jsonl"
    file.write_bytes(decision + b"\n\n" + decision)
    cases, decisions = read_decisions((f"topic:{topic}", str(file)))
    assert [each.id for each in cases] == ["case:mimamori.messages:3:1042"] * 3
    assert [each.case_id for each in decisions] == [cases[0].id] * 2
