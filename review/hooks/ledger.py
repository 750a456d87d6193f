"""The topic that remembers which notices were told, and which were given up: the dead letters of webhooks.

It is compacted, with the notice's id as key. All desks read all of it, all the time, so that whoever takes
over a partition knows what was told of it.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]  # ships no types

from review.errors import missing_ledger
from review.hooks.notice import Notice

log = structlog.get_logger()

KEPT = timedelta(days=30)  # as long as the topic keeps it


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a notice. A dead one is kept whole, with how often it was tried and why it failed."""

    state: Literal["told", "dead"]
    at: datetime
    notice: Notice | None = None
    failures: int = 0
    reason: str = ""


class NoLedgerError(Exception):
    """The topic is not there, or may not be used. The message says what to do."""


class Ledger:
    """Reads and writes the topic. `read_to_end` must be awaited before `knows` is relied on."""

    def __init__(
        self,
        settings: dict[str, Any],
        topic: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._topic = topic
        self._now = now
        self._settings = settings
        self._entries: dict[str, Entry] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    def knows(self, notice_id: str) -> bool:
        """Whether a notice was told or given up."""
        return notice_id in self._entries

    def dead(self) -> list[tuple[str, Entry]]:
        """What was given up, the latest first."""
        found = [(name, entry) for name, entry in self._entries.items() if entry.state == "dead"]
        return sorted(found, key=lambda each: each[1].at, reverse=True)

    async def open(self) -> None:
        """Connect, and read to the end. Raises NoLedgerError: the topic is not there; KafkaError: else."""
        self._producer = AIOKafkaProducer(**self._settings, acks="all", enable_idempotence=True)
        self._consumer = AIOKafkaConsumer(
            **self._settings, enable_auto_commit=False, auto_offset_reset="earliest", group_id=None
        )
        await self._producer.start()
        await self._consumer.start()
        partitions = await self._partitions()
        self._consumer.assign(partitions)
        ends = await self._consumer.end_offsets(partitions)
        for place in partitions:
            await self._consumer.seek_to_beginning(place)
        while any([await self._consumer.position(place) < ends[place] for place in partitions]):
            await self.follow(1.0)

    async def follow(self, timeout_s: float) -> None:
        """Read what other desks have noted, for at most so long."""
        assert self._consumer is not None  # noqa: S101 - `open` was awaited
        batches = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=1000)
        for records in batches.values():
            for record in records:
                self._note((record.key or b"").decode("utf-8", "replace"), record.value)

    async def write(self, notice_id: str, entry: Entry) -> None:
        """Remember what became of a notice. Raises KafkaError."""
        assert self._producer is not None  # noqa: S101 - `open` was awaited
        await self._producer.send_and_wait(
            self._topic, key=notice_id.encode(), value=msgspec.json.encode(entry)
        )
        self._entries[notice_id] = entry

    async def close(self) -> None:
        """Close what is open: both at once, since one that never ends, or fails, must not keep the other."""
        clients = self._consumer, self._producer
        self._consumer = self._producer = None
        ends = (client.stop() for client in clients if client is not None)
        for fault in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(fault, Exception):
                log.warning("webhook_ledger_left_with_an_error", error=type(fault).__name__)

    def _note(self, notice_id: str, value: bytes | None) -> None:
        if value is None:
            self._entries.pop(notice_id, None)
            return
        try:
            entry = msgspec.json.decode(value, type=Entry)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning("webhook_ledger_unreadable", topic=self._topic)
            return
        if entry.at > self._now() - KEPT:
            self._entries[notice_id] = entry

    async def _partitions(self) -> list[TopicPartition]:
        assert self._consumer is not None  # noqa: S101 - `open` has just set both
        assert self._producer is not None  # noqa: S101 - same
        if self._topic not in await self._consumer.topics():
            raise NoLedgerError(missing_ledger(self._topic))
        numbers = await self._producer.partitions_for(self._topic)
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]
