"""The stream with a schema registry: what is held, what becomes a dead letter, and that nothing is lost."""

from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

import schemas
from schemas.avro import avro_schema
from schemas.events import DeadLetter, Label, ReviewCase
from schemas.kinds import KINDS
from tests.fakes.framed_messages import avro, registry_settings
from tests.fakes.memory_broker import MemoryBroker
from tests.fakes.schema_registry import FakeRegistry
from tests.fakes.worker_app import settings, wait_for
from tests.unit.worker.test_stream import (
    CASES,
    DEAD,
    LABELS,
    CountingEngine,
    assert_exactly_once,
    drain,
    make_broker,
    message,
    outcomes,
    send,
    start,
)
from worker.registry import known
from worker.registry.client import LARGEST
from worker.registry.framing import framed
from worker.telemetry.metrics import Metrics

pytestmark = pytest.mark.usefixtures("impatient")


def letters(broker: MemoryBroker) -> list[DeadLetter]:
    return [schemas.decode(DeadLetter, record.value or b"") for record in broker.read(DEAD)]


def labelled(broker: MemoryBroker) -> Counter[str]:
    return Counter(schemas.decode(Label, record.value or b"").message_id for record in broker.read(LABELS))


def value_of(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_framed_avro_framed_json_and_plain_json_of_one_topic_are_labelled_in_order(
    registry: FakeRegistry,
) -> None:
    of_avro, of_json = registry.add(avro_schema(KINDS[0])), registry.add({"type": "object"}, "JSON")
    broker = make_broker()
    for n in range(0, 90, 3):
        send(broker, avro(of_avro, n), framed(of_json, message(n + 1)), message(n + 2))
    drain(broker, [start(broker, registry_settings(registry, max_records=7))])
    assert_exactly_once(broker)
    assert labelled(broker) == Counter(f"m{n}" for n in range(90))
    assert sorted(registry.asked) == [f"/schemas/ids/{of_avro}", f"/schemas/ids/{of_json}"]  # once each


def test_while_the_registry_is_away_messages_wait_and_none_is_lost(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    registry.status = 503
    broker, metrics = make_broker(), Metrics()
    send(broker, message(100), *(avro(number, n) for n in range(50)))
    with capture_logs() as logs:
        worker = start(broker, registry_settings(registry), metrics=metrics)
        wait_for(lambda: value_of(metrics, "mimamori_schema_requests_total", outcome="failed") >= 3)
        assert value_of(metrics, "mimamori_records_without_schema") > 0
        assert letters(broker) == []
        assert set(labelled(broker)) <= {"m100"}
        registry.status = None
        drain(broker, [worker])
    assert_exactly_once(broker)
    assert letters(broker) == []
    assert value_of(metrics, "mimamori_records_without_schema") == 0
    away = [entry for entry in logs if entry["event"] == "schema_registry_away"]
    assert away[0]["error"] == f"the schema registry {registry.url} answers 503"
    assert any(entry["event"] == "schema_registry_answers" for entry in logs)


def test_a_silent_registry_holds_up_neither_the_polling_nor_a_drain(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    registry.slow.clear()
    broker = make_broker()
    send(broker, avro(number, 1))
    worker = start(broker, registry_settings(registry, schema_registry_timeout_s=60))
    wait_for(lambda: registry.asked != [])
    polled = worker.app._intake.last_poll
    wait_for(lambda: worker.app._intake.last_poll > polled)
    worker.stop()
    assert worker.error is None
    assert outcomes(broker) == []
    registry.slow.set()
    drain(broker, [start(broker, registry_settings(registry), name="next")])
    assert_exactly_once(broker)


def test_a_partition_that_is_taken_away_takes_its_held_records_along(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    registry.status = 503
    broker = make_broker()
    send(broker, *(avro(number, n) for n in range(40)))
    first = start(broker, registry_settings(registry), name="a")
    wait_for(lambda: len(registry.asked) >= 2)
    second = start(broker, registry_settings(registry), name="b")
    wait_for(second.app.ready.is_set)
    registry.status = None
    drain(broker, [first, second])
    assert_exactly_once(broker)


@pytest.mark.parametrize(
    ("schema", "kind", "said"),
    [
        (None, "", "is not there"),
        ("syntax = 'proto3'", "PROTOBUF", "is neither AVRO nor JSON"),
        ({"type": "record", "name": "M", "fields": []}, "AVRO", "has a record without fields"),
        ("x" * LARGEST, "JSON", "is larger than 1 MiB"),
        pytest.param(
            '{"type": "record", "doc": "\ud800"}', "AVRO", "holds half a character", id="half-a-character"
        ),
    ],
)
def test_a_schema_that_is_of_no_use_gives_dead_letters_and_is_asked_for_once(
    registry: FakeRegistry, schema: object, kind: str, said: str
) -> None:
    number = 77 if schema is None else registry.add(schema, kind)
    broker = make_broker()
    send(broker, *(avro(number, n) for n in range(20)), message(100))
    drain(broker, [start(broker, registry_settings(registry))])
    assert {(letter.reason, letter.detail) for letter in letters(broker)} == {
        ("schema_mismatch", f"schema {number} of the registry {said}")
    }
    assert labelled(broker) == Counter(["m100"])
    assert set(registry.asked) == {f"/schemas/ids/{number}"}
    assert schema is None or len(registry.asked) == 1


def test_an_id_that_no_registry_can_have_is_refused_and_never_asked_for(registry: FakeRegistry) -> None:
    broker, metrics = make_broker(), Metrics()
    numbers = [2**31, 2**32 - 1]  # Confluent's answers these as an address that it does not have
    send(broker, *(avro(number, number) for number in numbers), message(100))
    drain(broker, [start(broker, registry_settings(registry), metrics=metrics)])
    assert {(letter.reason, letter.detail) for letter in letters(broker)} == {
        ("schema_mismatch", f"schema {number} of the registry is not there") for number in numbers
    }
    assert labelled(broker) == Counter(["m100"])
    assert registry.asked == []
    send(broker, avro(2**31 - 1, 1))
    drain(broker, [start(broker, registry_settings(registry), metrics=metrics)])
    assert set(registry.asked) == {f"/schemas/ids/{2**31 - 1}"}


def test_an_id_for_each_message_costs_a_question_each_and_no_memory(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "MOST", 4)
    broker, metrics = make_broker(partitions=1), Metrics()
    send(broker, *(avro(n, n) for n in range(1000, 1060)), message(1))
    worker = start(broker, registry_settings(registry), metrics=metrics)
    drain(broker, [worker])
    assert_exactly_once(broker)
    assert len(letters(broker)) == 60
    assert len(set(registry.asked)) == 60
    asked = len(registry.asked)
    assert asked == value_of(metrics, "mimamori_schema_requests_total", outcome="unknown")
    assert registry.asked.count("/schemas/ids/1000") == asked - 59  # the first alone is doubted
    book = worker.app._intake._reception._known
    assert book is not None
    assert len(book._known) == 4


def test_a_framed_value_without_a_registry_and_one_that_is_cut_are_named(registry: FakeRegistry) -> None:
    broker = make_broker()
    send(broker, avro(1, 1))
    drain(broker, [start(broker, settings())])
    send(broker, b"\x00\x00\x01")
    drain(broker, [start(broker, registry_settings(registry))])
    assert [(letter.reason, letter.detail) for letter in letters(broker)] == [
        (
            "invalid_json",
            "begins with a zero byte, as framed values do: MIMAMORI_SCHEMA_REGISTRY_URL is not set",
        ),
        ("unreadable_record", "ends within the frame that a schema registry's values have"),
    ]
    assert registry.asked == []


class PoisonedEngine(CountingEngine):
    def read(self, texts: Any) -> Any:
        if any("poison" in text for text in texts):
            raise RuntimeError
        return super().read(texts)


def test_a_framed_message_that_the_model_fails_on_is_shown_to_a_person(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    broker = make_broker()
    send(broker, *(avro(number, n) for n in range(5)), avro(number, 7, "poison"))
    drain(broker, [start(broker, registry_settings(registry), engine=PoisonedEngine())])
    (case,) = [
        case
        for record in broker.read(CASES)
        if (case := schemas.decode(ReviewCase, record.value or b"")).kind == "unread"
    ]
    assert (case.message_id, case.text, case.unread_because) == ("m7", "poison 7", "unscreenable")


def test_of_framed_json_that_is_no_message_a_person_sees_the_text(registry: FakeRegistry) -> None:
    number = registry.add({"type": "object"}, "JSON")
    broker = make_broker()
    send(broker, framed(number, b'{"id": 7, "text": "is anyone there"}'))
    drain(broker, [start(broker, registry_settings(registry))])
    (case,) = [schemas.decode(ReviewCase, record.value or b"") for record in broker.read(CASES)]
    assert case.text == "is anyone there"
