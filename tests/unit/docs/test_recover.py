"""docs/examples/recover.py, with a Kafka of lists in place of confluent_kafka's clients.

What it does on a real Kafka is in tests/docs; here are the faults that a real one shows rarely.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError

import schemas
from tests.fakes.forms import forms_of
from tests.fakes.framed_labels import LABEL
from tests.fakes.kafka_of_lists import (
    LABELS,
    LETTERS,
    MESSAGES,
    AdminClient,
    Consumer,
    Kafka,
    Producer,
    Stood,
)
from tests.fakes.schema_registry import schema_registry

SCRIPT = Path(__file__).parents[3] / "docs" / "examples" / "recover.py"


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def recover(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Runs the script in a terminal that has a worker's settings, and those of a platform's program."""
    given = {
        "MIMAMORI_BOOTSTRAP": "here:9092",
        "MIMAMORI_TOPIC_PREFIX": "house.",
        "MIMAMORI_GROUP": "house",
        "KAFKA_BOOTSTRAP": "elsewhere:9092",
        "TOPIC_PREFIX": "other.",
        "KAFKA_GROUP": "platform",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KAFKA_CONFIG", raising=False)
    script = loaded()

    def client(made: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def make(settings: dict[str, Any]) -> Any:
            kafka.settings.append(settings)
            return made(settings)

        return make

    monkeypatch.setattr(script, "Consumer", client(lambda settings: Consumer(kafka, settings)))
    monkeypatch.setattr(script, "Producer", client(lambda _: Producer(kafka)))
    monkeypatch.setattr(script, "AdminClient", client(lambda _: AdminClient(kafka)))

    def run(line: str) -> None:
        monkeypatch.setattr(sys, "argv", ["recover.py", *line.split()])
        script.main()

    return run


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recover", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


Recover = Callable[[str], None]
Printed = pytest.CaptureFixture[str]
SEND = "send-again --dead-letters --send"


def letters(kafka: Kafka, count: int) -> None:
    for number in range(count):
        offset = kafka.write(MESSAGES, number % 2)
        kafka.outcome(number % 2, offset, at=number, letter=True)


def test_what_was_sent_again_is_not_sent_twice(kafka: Kafka, recover: Recover, capsys: Printed) -> None:
    letters(kafka, 3)
    recover(SEND)
    assert "3 to send, 0 sent again before, 0 no longer kept\n3 sent\n" in capsys.readouterr().out
    kafka.outcome(0, 2, at=9, letter=True)  # a copy has become a dead letter as well
    recover(SEND)
    assert "0 to send, 4 sent again before, 0 no longer kept\n0 sent\n" in capsys.readouterr().out
    assert kafka.copies() == [(0, b"0:0"), (0, b"0:1"), (1, b"1:0")]


def test_a_header_of_somebody_else_s_stops_nothing(kafka: Kafka, recover: Recover, capsys: Printed) -> None:
    letters(kafka, 2)
    for value in (b"yes", b"", b"0:", b"0:0:0"):
        kafka.write(MESSAGES, 0, more=[("sent-again", value)])
    recover(SEND)
    assert "2 to send" in capsys.readouterr().out


def test_what_kafka_refuses_is_not_called_sent(kafka: Kafka, recover: Recover, capsys: Printed) -> None:
    letters(kafka, 4)
    kafka.refuses, kafka.too_large, kafka.full = [1], [2], 3
    with pytest.raises(SystemExit, match=r"^2 refused \(.*\), 0 without an answer: run it again"):
        recover(SEND)
    assert "\n2 sent\n" in capsys.readouterr().out
    kafka.refuses, kafka.too_large = [], []
    recover(SEND)
    assert capsys.readouterr().out == "2 to send, 2 sent again before, 0 no longer kept\n2 sent\n"
    assert sorted(kafka.copies()) == [(0, b"0:0"), (0, b"0:1"), (1, b"1:0"), (1, b"1:1")]


def test_nothing_is_sent_where_kafka_falls_silent(
    kafka: Kafka, recover: Recover, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters(kafka, 4)
    polls = []
    poll = Consumer.poll

    def once_silent(self: Consumer, timeout: float) -> Stood | None:
        polls.append(timeout)
        return None if len(polls) == 4 + 2 + 3 else poll(self, timeout)  # the letters, and some messages

    monkeypatch.setattr(Consumer, "poll", once_silent)
    with pytest.raises(SystemExit, match="nothing was changed"):
        recover(SEND)
    assert not kafka.copies()


def test_a_piece_of_them_is_sent(kafka: Kafka, recover: Recover, capsys: Printed) -> None:
    letters(kafka, 4)
    recover(f"{SEND} --since 1970-01-01T00:00:00.001+00:00 --until 1970-01-01T00:00:00.003+00:00")
    assert "2 to send" in capsys.readouterr().out
    assert kafka.copies() == [(0, b"0:1"), (1, b"1:0")]


def test_the_newest_outcome_says_where_the_workers_stood(
    kafka: Kafka, recover: Recover, capsys: Printed
) -> None:
    for _ in range(10):
        kafka.write(MESSAGES, 0)
    kafka.outcome(0, 8, at=1000)  # of the topic before it was made again
    kafka.outcome(0, 3, at=2000)
    kafka.outcome(0, 2, at=2000)  # in the same millisecond
    kafka.outcome(0, 1, at=1999, letter=True)
    recover("positions --commit")
    assert kafka.committed == {"house": {0: 4}}
    assert capsys.readouterr().out.splitlines() == [
        "house.messages 0: 4",
        "house.messages 1: no outcome: it would be read from its start",
        "the group house at here:9092 goes there",
        "committed for the group house",
    ]


@pytest.mark.parametrize("partition", [0, 7])
def test_no_place_beyond_the_end_is_committed(kafka: Kafka, recover: Recover, partition: int) -> None:
    kafka.write(MESSAGES, 0)
    kafka.outcome(partition, 1, at=1000)
    with pytest.raises(SystemExit, match=r"not committed: house\.messages \d ends before 2, .*--since"):
        recover("positions --commit")
    assert not kafka.committed


def test_nothing_is_committed_while_somebody_reads(kafka: Kafka, recover: Recover) -> None:
    kafka.write(MESSAGES, 0)
    kafka.outcome(0, 0)
    kafka.members = {"house": 2}
    with pytest.raises(SystemExit, match="not committed: the group house at here:9092 has 2 members"):
        recover("positions --commit")
    assert not kafka.committed
    kafka.members = {"house": 0, "platform": 1}
    recover("positions --commit")
    assert kafka.committed == {"house": {0: 1}}


def test_a_place_that_kafka_does_not_take_is_told(kafka: Kafka, recover: Recover) -> None:
    for number in range(2):
        kafka.write(MESSAGES, number)
        kafka.outcome(number, 0)
    kafka.partial = [1]
    with pytest.raises(SystemExit, match="not committed for 1 partitions"):
        recover("positions --commit")


@pytest.mark.parametrize("command", [SEND, "positions --commit"])
def test_a_topic_that_cannot_be_read_is_not_empty(kafka: Kafka, recover: Recover, command: str) -> None:
    letters(kafka, 1)
    kafka.denied[LETTERS] = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(SystemExit, match=r"house\.dead-letters: .*authorization"):
        recover(command)
    assert not kafka.committed


def test_it_goes_where_a_worker_goes(kafka: Kafka, recover: Recover, monkeypatch: pytest.MonkeyPatch) -> None:
    letters(kafka, 1)
    recover(SEND)
    recover("positions --commit")
    assert {each["bootstrap.servers"] for each in kafka.settings} == {"here:9092"}
    for name in ("MIMAMORI_BOOTSTRAP", "MIMAMORI_TOPIC_PREFIX", "MIMAMORI_GROUP"):
        monkeypatch.delenv(name)
    bare: Any = loaded()
    found = bare.KAFKA["bootstrap.servers"], bare.PREFIX, bare.GROUP
    assert found == ("127.0.0.1:9092", "mimamori.", "mimamori")


def test_labels_behind_a_registry_s_frame_are_read_and_without_the_registry_nothing_is_done(
    kafka: Kafka, recover: Recover, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three labels of one bundle, in every form: framed JSON needs no registry."""
    monkeypatch.delenv("SCHEMA_REGISTRY_CONFIG", raising=False)
    with schema_registry() as registry:
        encode = forms_of(registry)
        for number in range(3):
            origin = schemas.Origin(MESSAGES, 0, kafka.write(MESSAGES, 0))
            value = encode(msgspec.structs.replace(LABEL, origin=origin, bundle="b0b", verdict="clear"))
            kafka.stood[LABELS, 0].append(Stood((LABELS, 0, number), value, number))
        with pytest.raises(
            SystemExit, match=r"labels are in Avro: set SCHEMA_REGISTRY_CONFIG.*nothing was changed"
        ):
            recover("send-again --bundle b0b --verdict clear --send")
        assert kafka.copies() == []
        monkeypatch.setenv("SCHEMA_REGISTRY_CONFIG", msgspec.json.encode({"url": registry.url}).decode())
        recover("send-again --bundle b0b --verdict clear --send")
        assert "3 to send" in capsys.readouterr().out
        recover("positions")
        assert f"{MESSAGES} 0: 3" in capsys.readouterr().out
