"""When Kafka is believed that a partition ends before what was read of it."""

from typing import Any

import confluent_kafka as ck
import pytest

from worker.errors import BrokerError, RetryableError
from worker.kafka import Restart, starts
from worker.kafka.record import Partition
from worker.kafka.starts import BELIEVED_AFTER_S, Starts

PLACE: Partition = ("messages", 0)
AT = 50
A_WHILE_S = 25.0  # in the soaks, a broker that is cut off takes itself for the leader for 20 s at most


class Client:
    """A client whose leader says where the partition ends."""

    def __init__(self) -> None:
        self.end = 3
        self.settled: list[int] = []

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, self.end

    def commit(self, offsets: list[ck.TopicPartition], **_: Any) -> None:
        self.settled += [place.offset for place in offsets]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Watch:
    """A topic that is never made again."""

    def __init__(self, *_: Any) -> None: ...

    def topic_id(self, _: float) -> str:
        return ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(starts, "time", made)
    monkeypatch.setattr(starts, "TopicWatch", Watch)
    return made


def opened(client: Client, *, left_at: int = AT) -> Starts:
    made = Starts(client, {}, PLACE[0])  # type: ignore[arg-type]  # what is used of one
    made.begin([ck.TopicPartition(*PLACE, left_at)])
    return made


def ask(found: Starts, at: int = AT) -> tuple[int, Restart | None]:
    return found.instead_of(ck.TopicPartition(*PLACE, at), 1.0)


def doubted(found: Starts, clock: Clock, seconds: float, at: int = AT) -> None:
    """Ask once a second, and be told to ask again."""
    until = clock.now + seconds
    while clock.now < until:
        with pytest.raises(RetryableError, match=r"is said to end at 3, before 50"):
            ask(found, at)
        clock.now += 1.0


def test_a_leader_that_was_deposed_and_does_not_know_it_moves_nobody_back(clock: Clock) -> None:
    found = opened(client := Client())
    doubted(found, clock, A_WHILE_S)
    client.end = 60  # the client has heard of the new one
    assert ask(found) == (AT, None)
    client.end = 3
    doubted(found, clock, A_WHILE_S)  # the time before does not count
    assert client.settled == []


def test_what_is_answered_for_long_enough_is_believed(clock: Clock) -> None:
    found = opened(client := Client())
    doubted(found, clock, BELIEVED_AFTER_S)
    assert ask(found) == (0, Restart(PLACE, "truncated", AT, 0))
    assert client.settled == [0]


def test_what_was_read_beyond_the_end_stops_the_worker_then(clock: Clock) -> None:
    found = opened(Client(), left_at=40)
    doubted(found, clock, BELIEVED_AFTER_S)
    with pytest.raises(BrokerError, match="ends at 3, and was read up to 50"):
        ask(found)


def test_answers_that_lie_far_apart_do_not_add_up(clock: Clock) -> None:
    found = opened(Client())
    doubted(found, clock, 1)
    clock.now += 3600.0
    doubted(found, clock, A_WHILE_S)
