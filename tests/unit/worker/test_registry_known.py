"""When a schema counts as known, as unknown, and as in doubt; and how often a registry is asked."""

import json
from unittest import mock

import pytest

from schemas.avro import avro_schema
from schemas.kinds import KINDS
from tests.fakes.framed_messages import avro, registry_settings
from tests.fakes.schema_registry import FakeRegistry
from tests.fakes.worker_app import wait_for
from worker.errors import RecordError
from worker.registry import known
from worker.registry.client import RegistryClient
from worker.registry.known import KnownSchemas
from worker.telemetry.metrics import Metrics


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def answered(book: KnownSchemas, *values: bytes) -> int:
    """How many values are ready once a question about the next has been answered."""
    book.ready(values)
    question = book._question
    assert question is not None
    assert question.done.wait(60)
    return book.ready(values)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(known, "DOUBT_FOR_S", 3.0)
    monkeypatch.setattr(known, "DOUBT_PAUSE_S", 0.5)
    return Clock()


def test_a_schema_that_one_node_of_a_registry_does_not_know_yet_makes_no_dead_letter(
    registry: FakeRegistry, clock: Clock
) -> None:
    book = KnownSchemas(RegistryClient(registry_settings(registry)), Metrics(), clock)
    value = avro(1, 1)
    for _ in range(5):
        assert answered(book, value) == 0
        clock.now += 0.5
    registry.add(avro_schema(KINDS[0]))  # the node has it now
    assert answered(book, value) == 1
    assert book.read(value).id == "m1"


def test_that_a_schema_is_not_there_is_believed_when_it_is_said_again_later(
    registry: FakeRegistry, clock: Clock
) -> None:
    book = KnownSchemas(RegistryClient(registry_settings(registry)), Metrics(), clock)
    assert answered(book, avro(8, 1)) == 0
    clock.now += 0.4
    assert book.ready([avro(8, 1)]) == 0
    assert book._question is None  # it pauses
    clock.now += 2.5
    assert answered(book, avro(8, 1)) == 0
    registry.status = 503
    clock.now += 0.5
    assert answered(book, avro(8, 1)) == 0  # … and no answer is none to believe
    registry.status = None
    clock.now += 1
    assert answered(book, avro(8, 1)) == 1
    with pytest.raises(RecordError, match="schema 8 of the registry is not there"):
        book.read(avro(8, 1))
    clock.now += known.UNKNOWN_FOR_S
    assert answered(book, avro(8, 1)) == 1  # it was believed before


def test_one_invented_id_of_many_is_doubted(registry: FakeRegistry, clock: Clock) -> None:
    book = KnownSchemas(RegistryClient(registry_settings(registry)), Metrics(), clock)
    assert answered(book, avro(8, 1)) == 0
    clock.now += 3
    assert answered(book, avro(8, 1)) == 1
    for number in range(9, 29):
        clock.now += 1
        assert answered(book, avro(number, 1)) == 1
    clock.now += 7  # half a minute after the first
    assert answered(book, avro(29, 1)) == 0


def test_at_most_one_question_each_pause_is_asked(registry: FakeRegistry) -> None:
    now = 100.0
    book = KnownSchemas(RegistryClient(registry_settings(registry)), Metrics(), lambda: now)
    book._no_doubt_before = now + 100
    with mock.patch.object(known, "PAUSE_S", 0.5):
        assert book.ready([avro(8, 1), avro(9, 2)]) == 0
        wait_for(lambda: book.ready([avro(8, 1), avro(9, 2)]) == 1)  # 8 is known to be unknown
        assert book.ready([avro(9, 2)]) == 0
        assert book._question is None  # not yet
        now += 0.5
        wait_for(lambda: book.ready([avro(9, 2)]) == 1)
        now += known.UNKNOWN_FOR_S
        registry.schemas[8] = {"schema": json.dumps(avro_schema(KINDS[0]))}
        wait_for(lambda: book.ready([avro(8, 1)]) == 1)
    assert book.read(avro(8, 1)).id == "m1"  # it was registered meanwhile
    assert registry.asked == ["/schemas/ids/8", "/schemas/ids/9", "/schemas/ids/8"]
