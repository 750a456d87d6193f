"""The clients of the webhooks' ledger: whatever one of them does, the other is closed as well."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types
from structlog.testing import capture_logs

from review.hooks.ledger import Ledger


class Client:
    """A producer that starts, or a consumer that Kafka refuses."""

    def __init__(self, *, starts: bool, end: Exception | None = None, never_ends: bool = False) -> None:
        self.closed = False
        self._starts = starts
        self._end = end
        self._never_ends = never_ends

    async def start(self) -> None:
        if not self._starts:
            raise KafkaError

    async def stop(self) -> None:
        if self._never_ends:
            await asyncio.Event().wait()
        if self._end is not None:
            raise self._end
        self.closed = True


def opened(monkeypatch: pytest.MonkeyPatch, consumer: Client, producer: Client) -> Ledger:
    def made(client: Client) -> Any:
        return lambda **_: client

    monkeypatch.setattr("review.hooks.ledger.AIOKafkaConsumer", made(consumer))
    monkeypatch.setattr("review.hooks.ledger.AIOKafkaProducer", made(producer))
    return Ledger({}, "webhooks")


def test_a_consumer_that_never_ends_does_not_keep_the_producer_open(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, producer = Client(starts=False, never_ends=True), Client(starts=True)

    async def scene() -> None:
        ledger = opened(monkeypatch, consumer, producer)
        with pytest.raises(KafkaError):
            await ledger.open()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ledger.close(), 0.05)

    asyncio.run(scene())
    assert producer.closed


def test_a_client_that_ends_with_an_error_is_logged_and_the_other_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer, producer = Client(starts=False, end=OSError()), Client(starts=True)

    async def scene() -> None:
        ledger = opened(monkeypatch, consumer, producer)
        with pytest.raises(KafkaError):
            await ledger.open()
        await ledger.close()

    with capture_logs() as logs:
        asyncio.run(scene())
    assert producer.closed
    assert [line["event"] for line in logs] == ["webhook_ledger_left_with_an_error"]
