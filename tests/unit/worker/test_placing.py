"""What the client is told to fetch, and when: on a client that only notes it."""

from collections.abc import Iterable
from typing import Any

import confluent_kafka as ck
import pytest

from tests.fakes.brokers import Listener
from worker.errors import RetryableError
from worker.kafka import placing
from worker.kafka.confirmation import Confirmed
from worker.kafka.confirmed_placing import ConfirmedPlacing
from worker.kafka.membership import Held
from worker.kafka.placing import Placing
from worker.kafka.record import Partition, Record

ONE: Partition = ("messages", 0)
TWO: Partition = ("messages", 1)
LEFT_AT = 7
END = 100


class Client:
    """A `Fetching`, and what Kafka says of ends and committed offsets."""

    def __init__(self) -> None:
        self.paused = False
        self.told: list[tuple[str, Any]] = []
        self.seeks = True

    def pause(self, _: Iterable[Partition]) -> None:
        self.paused = True

    def begin(self, places: list[ck.TopicPartition]) -> None:
        self.told += [("begin", place.offset) for place in places]

    def hold(self, names: Iterable[Partition]) -> None:
        self.told += [("hold", name) for name in sorted(names)]

    def let(self, names: Iterable[Partition]) -> None:
        self.told += [("let", name) for name in sorted(names)]

    def end(self, names: Iterable[Partition]) -> None:
        self.told += [("end", name) for name in sorted(names)]

    def at_once(self, _: Iterable[Partition]) -> None: ...

    def seek(self, place: ck.TopicPartition) -> bool:
        self.told.append(("seek", (place.partition, place.offset)))
        return self.seeks

    def start_over(self, place: ck.TopicPartition) -> None:
        self.told.append(("start over", (place.partition, place.offset)))

    def heard(self, _: Partition) -> int:
        return END

    now = heard

    def start_of(self, _: Partition) -> int:
        return LEFT_AT

    def left(self, places: list[ck.TopicPartition], _: float) -> list[ck.TopicPartition]:
        return [ck.TopicPartition(place.topic, place.partition, LEFT_AT) for place in places]

    def begin_at(self, places: list[ck.TopicPartition]) -> tuple[list[ck.TopicPartition], list[Any]]:
        return places, []

    def note(self) -> None: ...

    def since(self) -> list[tuple[str, Any]]:
        """What was told since the last call."""
        told, self.told = self.told, []
        return told


class Starts:
    def __init__(self, client: Client) -> None:
        self.left, self.begin = client.left, client.begin_at

    def instead_of(self, missing: ck.TopicPartition, _: float) -> tuple[int, None]:
        """What Kafka says of the first partition is in doubt."""
        if missing.partition == ONE[1]:
            raise RetryableError("a doubt")
        return missing.offset, None


class Missing:
    """The client's word that Kafka has no record there."""

    def __init__(self, place: Partition) -> None:
        self.topic, self.partition, self.offset = (lambda: place[0]), (lambda: place[1]), (lambda: LEFT_AT)


class Broker:
    """A `Confirmation` that answers what a test says."""

    def __init__(self) -> None:
        self.held = Held()
        self.answer: Confirmed | None = None
        self.forgotten: set[Partition] = set()

    def forget(self, names: Iterable[Partition]) -> None:
        self.held.drop(names)
        self.forgotten |= set(names)

    def of(self, _: Iterable[Partition]) -> Confirmed | None:
        answer, self.answer = self.answer, None
        return answer


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(placing, "PLACE_PAUSE_S", 0.0)
    monkeypatch.setattr("worker.kafka.confirmed_placing.PLACE_PAUSE_S", 0.0)
    return Client()


def classic(client: Any) -> Placing:
    return Placing(client, client, "messages", Listener(), Starts(client), client)  # type: ignore[arg-type]


def confirmed(client: Any, broker: Any) -> ConfirmedPlacing:
    return ConfirmedPlacing(client, client, "messages", Listener(), Starts(client), client, broker)  # type: ignore[arg-type]


def placed(client: Any, broker: Broker) -> ConfirmedPlacing:
    """One partition, which the broker has confirmed."""
    own = confirmed(client, broker)
    own.take({ONE})
    broker.answer = Confirmed({ONE}, [], b"epoch 5")
    own.place()
    client.since()
    return own


def both_missing(client: Any) -> Placing:
    """Two partitions, of which Kafka is said to have no record where they were left."""
    own = classic(client)
    own.take({ONE, TWO})
    for place in (ONE, TWO):
        own.note_missing(Missing(place), "")  # type: ignore[arg-type]
    client.since()
    return own


def records(place: Partition, *offsets: int) -> list[Record]:
    return [Record(*place, offset, None, b"") for offset in offsets]


def test_what_is_assigned_begins_where_it_was_left(client: Client) -> None:
    own = classic(client)
    own.take({ONE})
    assert client.since() == [("begin", LEFT_AT), ("let", ONE)]
    assert own.fetched == {ONE}


def test_a_partition_whose_end_is_in_doubt_keeps_no_other_waiting(client: Client) -> None:
    own = both_missing(client)
    own.place()
    assert client.since() == [("start over", (TWO[1], LEFT_AT))]
    assert own.fetched == {TWO}


def test_questions_that_take_long_are_asked_in_turns_between_polls(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = both_missing(client)
    monkeypatch.setattr(placing, "PLACE_TIMEOUT_S", 0.0)
    own.place()
    assert client.since() == []
    own.place()
    assert client.since() == [("start over", (TWO[1], LEFT_AT))]


def test_nothing_is_fetched_before_the_broker_has_confirmed_it(client: Client) -> None:
    broker = Broker()
    own = confirmed(client, broker)
    own.take({ONE, TWO})
    assert client.since() == [("begin", ck.OFFSET_BEGINNING)] * 2 + [("hold", ONE), ("hold", TWO)]
    own.place()
    assert client.since() == []
    assert own.sift(records(ONE, LEFT_AT), rebalanced=False) == []
    broker.answer = Confirmed({ONE}, [1], b"epoch 5")
    own.place()
    assert client.since() == [("seek", (0, LEFT_AT)), ("let", ONE)]
    assert broker.held.now() == {ONE: b"epoch 5"}
    assert own.fetched == {ONE}
    assert own.awaits_answer


def test_a_rewind_is_confirmed_like_an_assignment_and_until_then_nothing_is_committed(client: Client) -> None:
    broker = Broker()
    own = placed(client, broker)
    own.rewind()
    assert client.since() == [("hold", ONE)]
    assert broker.held.now() == {}
    assert own.fetched == set()


def test_what_is_given_up_is_not_held_any_more(client: Client) -> None:
    broker = Broker()
    own = placed(client, broker)
    own.give_up({ONE})
    assert client.since() == [("end", ONE)]
    assert (broker.held.now(), own.assigned) == ({}, set())


def test_a_client_that_does_not_fetch_yet_is_told_again_and_by_a_seek(client: Client) -> None:
    broker = Broker()
    own = confirmed(client, broker)
    own.take({ONE})
    client.since()
    client.seeks = False
    for _ in range(2):
        broker.answer = Confirmed({ONE}, [], b"epoch 5")
        own.place()
    assert client.since() == [("seek", (0, LEFT_AT))] * 2
    assert broker.held.now() == {}


def test_while_all_are_paused_a_partition_that_is_placed_stays_so(client: Client) -> None:
    broker = Broker()
    own = confirmed(client, broker)
    own.pause()
    own.take({ONE})
    client.since()
    broker.answer = Confirmed({ONE}, [], b"epoch 5")
    own.place()
    assert client.since() == [("seek", (0, LEFT_AT))]


def test_after_a_made_up_offset_the_client_starts_over_where_the_record_stands(client: Client) -> None:
    own = classic(client)
    own.take({ONE})
    client.since()
    read = own.sift(records(ONE, LEFT_AT, END + 5, END + 6), rebalanced=False)
    assert [(record.offset, bool(record.fault)) for record in read] == [(LEFT_AT, False), (LEFT_AT + 1, True)]
    assert client.since() == [("start over", (0, LEFT_AT + 2))]


def test_a_client_that_begins_too_early_is_told_again(client: Client) -> None:
    broker = Broker()
    own = placed(client, broker)
    assert own.sift(records(ONE, 0, 1), rebalanced=False) == []
    assert client.since() == [("hold", ONE)]
    assert broker.held.now() == {}


class Missed:
    """What the client says where Kafka has no record at its position."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return ONE[0]

    def partition(self) -> int:
        return ONE[1]

    def offset(self) -> int:
        return self._offset


def missed(own: Placing, offset: int) -> None:
    own.note_missing(Missed(offset), "out of range")  # type: ignore[arg-type]


def test_a_position_beyond_the_end_that_no_record_led_to_stops_no_worker(client: Client) -> None:
    """It is told before, or in place of, the record whose producer made it up."""
    own = classic(client)
    own.take({ONE})
    client.since()
    missed(own, END + 5)
    own.place()
    assert client.since() == [("start over", (0, LEFT_AT))]
    assert own.fetched == {ONE}


def test_a_client_that_stopped_is_started_over_only_once_the_broker_has_confirmed_it(client: Client) -> None:
    broker = Broker()
    own = confirmed(client, broker)
    own.take({ONE})
    client.since()
    client.seeks = False
    missed(own, END + 5)
    own.place()
    assert client.since() == []
    broker.answer = Confirmed({ONE}, [], b"epoch 5")
    own.place()
    assert client.since() == [("seek", (0, LEFT_AT)), ("start over", (0, LEFT_AT))]
    assert broker.held.now() == {ONE: b"epoch 5"}
