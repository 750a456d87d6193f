"""What the soak's reader of outcomes does where a broker says that it has no such record."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import confluent_kafka as ck
import pytest

from mimamori.soak import clients
from mimamori.soak.clients import LOST_AFTER_S, RENEW_S, Watch
from worker.errors import BrokerError

TOPIC = "soak.labels"
Chunk = list[Any]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Brokers:
    """Makes clients; each gives the chunks that were meant for it, and says where it was told to begin."""

    def __init__(self, *of_clients: list[Chunk]) -> None:
        self._of_clients = list(of_clients)
        self.begun: list[int] = []

    def client(self, _: dict[str, Any]) -> Any:
        chunks = self._of_clients.pop(0) if self._of_clients else []
        return SimpleNamespace(
            list_topics=lambda *_: SimpleNamespace(topics={TOPIC: SimpleNamespace(partitions={0: None})}),
            assign=lambda places: self.begun.append(places[0].offset),
            consume=lambda *_: chunks.pop(0) if chunks else [],
            close=lambda: None,
        )


def record(offset: int) -> Any:
    return _message(offset, None)


def no_such_offset() -> Any:
    return _message(None, ck.KafkaError(ck.KafkaError._AUTO_OFFSET_RESET, "requested offset not available"))


def _message(offset: int | None, error: ck.KafkaError | None) -> Any:
    def said(value: Any) -> Callable[[], Any]:
        return lambda: value

    return SimpleNamespace(
        topic=said(TOPIC),
        partition=said(0),
        offset=said(offset),
        error=said(error),
        value=said(b"%d" % (offset or 0)),
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clients, "time", made)
    return made


def watching(monkeypatch: pytest.MonkeyPatch, brokers: Brokers) -> Watch:
    monkeypatch.setattr(clients, "ck", SimpleNamespace(**vars(ck) | {"Consumer": brokers.client}))
    return Watch("", [TOPIC])


def read(watch: Watch) -> list[bytes | None]:
    return [value for _, _, value in watch.read()]


def test_a_new_client_goes_on_where_the_last_record_stood_and_reads_nothing_twice(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    first = [[record(0)], [record(1), no_such_offset(), record(2)]]
    watch = watching(monkeypatch, brokers := Brokers(first, [[record(2), record(3)]]))
    assert read(watch) == [b"0"]
    clock.now += RENEW_S + 1
    assert read(watch) == [b"1"]  # what the old client has left, the new one reads
    assert brokers.begun == [0, 2]
    assert read(watch) == [b"2", b"3"]


def test_what_was_fetched_is_not_dropped_where_no_new_client_is_made_yet(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    watch = watching(monkeypatch, brokers := Brokers([[record(0), no_such_offset(), record(1)]]))
    clock.now += 1
    assert read(watch) == [b"0", b"1"]
    assert brokers.begun == [0]


def test_what_all_clients_are_told_for_a_minute_is_a_loss(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    missing = [[no_such_offset()]]
    watch = watching(monkeypatch, Brokers(*[list(missing) for _ in range(9)]))
    for _ in range(int(LOST_AFTER_S // (RENEW_S + 1)) + 1):
        clock.now += RENEW_S + 1
        assert read(watch) == []
    clock.now += RENEW_S + 1
    with pytest.raises(BrokerError, match=r"cannot read soak\.labels"):
        read(watch)
