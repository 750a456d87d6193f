"""Notes are there before the model has anything, and gone when it has answered; successors go by them."""

import json
from collections.abc import Mapping

import msgspec
import pytest

from engine.errors import DeviceError
from engine.scores import Scores
from tests.fakes.memory_broker import MemoryInHandTopic
from worker.errors import BrokerError, RecordError, RetryableError
from worker.kafka.record import Partition, Record
from worker.stream.batch import Batch, Entry
from worker.stream.decode import decode
from worker.stream.in_hand import InHand
from worker.stream.suspicion import Held, Note
from worker.telemetry.metrics import Metrics

PLACE = ("messages", 0)
OTHER = ("messages", 1)
DEATHS = "mimamori_deaths_in_hand_total"


def record(offset: int, partition: int = 0) -> Record:
    value = json.dumps({"id": f"m{offset}", "text": "a walk by the sea"}).encode()
    return Record("messages", partition, offset, b"k", value, timestamp_ms=1000 + offset)


def entry(offset: int, partition: int = 0) -> Entry:
    one = record(offset, partition)
    return Entry(one, decode(one.value, frozenset(), 1000))


def batch_of(*entries: Entry) -> Batch:
    return Batch(0, 0.0, list(entries))


def worker(topic: MemoryInHandTopic, metrics: Metrics | None = None) -> InHand:
    one = InHand(topic, metrics or Metrics())
    one.inherit([PLACE, OTHER])
    return one


def held(topic: MemoryInHandTopic, place: Partition = PLACE) -> Held | None:
    return msgspec.json.decode(topic.notes[place], type=Note).held


def die_holding(topic: MemoryInHandTopic, batch: Batch) -> None:
    """As a process that is gone at once: what it had written stays."""
    one = worker(topic)
    with one.holding(batch):
        left = dict(topic.notes)
    topic.notes.clear()
    topic.notes.update(left)


def test_a_note_stands_during_the_call_and_no_longer() -> None:
    topic = MemoryInHandTopic()
    with worker(topic).holding(batch_of(entry(5), entry(9), entry(2, 1))):
        assert held(topic) == Held(5, 9)
        assert held(topic, OTHER) == Held(2, 2)
    assert held(topic) is None
    assert held(topic, OTHER) is None


def test_an_error_that_the_process_survives_is_no_death() -> None:
    topic = MemoryInHandTopic()
    with pytest.raises(DeviceError), worker(topic).holding(batch_of(entry(5))):
        raise DeviceError("busy")
    assert held(topic) is None


def test_nothing_is_written_where_nothing_is_to_be_read() -> None:
    topic = MemoryInHandTopic()
    cached, rejected = entry(1), Entry(record(2), rejection=RecordError("invalid_json", "cut off"))
    cached.scores = Scores(0.1, (0.2, 0.8), 1, truncated=False)
    with worker(topic).holding(batch_of(cached, rejected)):
        assert topic.notes == {}


def test_what_lacks_a_severity_may_be_read_and_is_in_hand() -> None:
    topic = MemoryInHandTopic()
    ungraded = entry(4)
    ungraded.scores = Scores(0.1, None, 1, truncated=False)
    with worker(topic).holding(batch_of(ungraded, entry(5))):
        assert held(topic) == Held(4, 5)


def test_a_successor_counts_what_it_finds_and_names_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    topic, metrics = MemoryInHandTopic(), Metrics()
    die_holding(topic, batch_of(entry(5), entry(6)))
    die_holding(topic, batch_of(entry(5), entry(6)))
    heir = worker(topic, metrics)
    assert [heir.is_suspect(record(offset)) for offset in (4, 5, 6, 7)] == [False, True, True, False]
    assert metrics.registry.get_sample_value(DEATHS) == 1  # it found one; the one before found the other
    die_holding(topic, batch_of(entry(6)))
    die_holding(topic, batch_of(entry(6)))
    heir = worker(topic)
    assert [heir.is_condemned(record(offset)) for offset in (5, 6)] == [False, True]
    assert "sea" not in capsys.readouterr().out


def test_whoever_gets_a_partition_back_has_not_died() -> None:
    topic, metrics = MemoryInHandTopic(), Metrics()
    one = worker(topic, metrics)
    with one.holding(batch_of(entry(5))):
        one.forget([PLACE])
        one.inherit([PLACE])
        assert not one.is_suspect(record(5))
    assert metrics.registry.get_sample_value(DEATHS) == 0


def test_the_end_of_a_call_does_not_overwrite_the_note_of_a_new_owner() -> None:
    topic = MemoryInHandTopic()
    one, other = worker(topic), InHand(topic, Metrics())
    with one.holding(batch_of(entry(5), entry(7))):
        one.forget([PLACE])
        other.inherit([PLACE])
        with other.holding(batch_of(entry(5))):
            theirs = topic.notes[PLACE]
            one.forget([])
            assert topic.notes[PLACE] == theirs
            one._write({PLACE: Held(0, 0)})
            assert topic.notes[PLACE] == theirs


class Silent(MemoryInHandTopic):
    def read(self, partitions: object) -> dict[Partition, bytes]:
        del partitions
        raise RetryableError("not read in time")


def test_a_topic_that_does_not_answer_costs_what_is_known_and_nothing_else() -> None:
    one = worker(Silent())
    assert not one.is_suspect(record(5))
    with one.holding(batch_of(entry(5))):
        pass


def test_what_another_version_wrote_is_passed_over() -> None:
    topic = MemoryInHandTopic({PLACE: b'{"held": "everything"}', OTHER: b""})
    assert not worker(topic).is_suspect(record(5))


class Full(MemoryInHandTopic):
    def settle(self) -> None:
        raise BrokerError("cannot write down")


def test_the_model_gets_nothing_that_could_not_be_written_down() -> None:
    with pytest.raises(BrokerError), worker(Full()).holding(batch_of(entry(5))):
        raise AssertionError("it was called")


class Ordered(MemoryInHandTopic):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []

    def write(self, notes: Mapping[Partition, bytes]) -> None:
        super().write(notes)
        self.steps.append("write")

    def settle(self) -> None:
        self.steps.append("settle")


def test_the_note_is_safe_before_the_call_and_its_end_is_not_waited_for() -> None:
    topic = Ordered()
    with worker(topic).holding(batch_of(entry(5))):
        topic.steps.append("call")
    assert topic.steps == ["write", "settle", "call", "write"]
