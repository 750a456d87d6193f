"""Reads the audit log from its topic: a span of time, and of that what was asked for.

Whoever may write to the topic may write lies. So each record says whether a desk has signed it, and what is
no record at all is counted.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # same
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # same

from review.errors import DeskError
from review.kafka import tolerant
from review.kafka.clients import client_settings
from review.settings import ReviewSettings
from schemas.codec import CodecError, decode
from schemas.events import AuditRecord
from schemas.signature import TrustedKeys

MOST: Final = 1_000_000
_QUIET_S: Final = 10.0


class Asked(msgspec.Struct, frozen=True):
    """Which records to read. None is any; `until` is not among them. `action` and `actor` are whole words."""

    since: datetime
    until: datetime | None = None
    case: str | None = None
    actor: str | None = None
    action: str | None = None

    def wants(self, record: AuditRecord) -> bool:
        """Whether a record is asked for."""
        return (
            self.since <= record.at
            and (self.until is None or record.at < self.until)
            and (self.case is None or self.case in _cases(record))
            and self.actor in {None, record.actor}
            and self.action in {None, record.action}
        )


def _cases(record: AuditRecord) -> Iterator[str | None]:
    """The cases that it is about. What was looked at, or refused, names its case last."""
    yield record.case_id
    yield (record.detail or "").rpartition(" ")[2]


class Seen(msgspec.Struct, frozen=True):
    """A record of the log. `fault` says what is wrong with its signature; None where a desk has signed it."""

    record: AuditRecord
    fault: str | None


class Found(msgspec.Struct, frozen=True):
    """What was read, in order of time. `unreadable` records of the span are no audit records at all."""

    records: list[Seen]
    unreadable: int


async def read_log(settings: ReviewSettings, trusted: TrustedKeys, asked: Asked, most: int = MOST) -> Found:
    """Read the records that were asked for, as far as the log goes now.

    Raises DeskError: Kafka or the topic is not there or not to be read, or more than `most` records are asked
    for.
    """
    tolerant.install()
    topic = settings.audit_topic
    consumer = AIOKafkaConsumer(
        **client_settings(settings),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    try:
        async with asyncio.timeout(settings.connect_seconds):
            partitions = await _partitions(settings, topic)
            await consumer.start()
            ends = await _span(consumer, topic, partitions, asked)
        return await _read(consumer, topic, ends, trusted, asked, most)
    except (KafkaError, OSError, TimeoutError) as error:
        raise DeskError(
            f"cannot read {topic} at {settings.bootstrap} ({type(error).__name__}): is Kafka up, and "
            "may this user read the topic?"
        ) from None
    finally:
        await consumer.stop()


async def _partitions(settings: ReviewSettings, topic: str) -> list[int]:
    admin = AIOKafkaAdminClient(**client_settings(settings))
    try:
        await admin.start()
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    if described["error_code"]:
        raise DeskError(f"no topic {topic}: create it with `mimamori topics apply`")
    return [part["partition"] for part in described["partitions"]]


async def _span(consumer: Any, topic: str, partitions: Iterable[int], asked: Asked) -> dict[Any, int]:
    """Put the consumer at the begin of the span. Returns the end of each partition that has a part of it."""
    parts = [TopicPartition(topic, number) for number in partitions]
    consumer.assign(parts)
    ends: dict[Any, int] = await consumer.end_offsets(parts)
    # Brokers stamp records as they come; a desk's clock may be behind by a little.
    begin = max(0, int(asked.since.timestamp() * 1000) - 60_000)
    starts = await consumer.offsets_for_times(dict.fromkeys(parts, begin))
    spans = {part: ends[part] for part in parts if starts[part] is not None}
    for part in parts:
        if part in spans:
            consumer.seek(part, starts[part].offset)
        else:
            consumer.pause(part)
    return {part: end for part, end in spans.items() if starts[part].offset < end}


async def _read(
    consumer: Any, topic: str, ends: dict[Any, int], trusted: TrustedKeys, asked: Asked, most: int
) -> Found:
    kept: list[Seen] = []
    ids: set[str] = set()
    unreadable = 0
    while ends:
        async with asyncio.timeout(_QUIET_S):
            fetched = await consumer.getmany(*ends, timeout_ms=500, max_records=500)
        for message in _flat(fetched):
            record = _decoded(message.value)
            if record is None:
                unreadable += 1
            elif asked.wants(record):
                fault = trusted.fault(topic, message.key, message.value, message.headers)
                if (
                    fault is not None or record.id not in ids
                ):  # a copy, signature and all, is not a second act
                    kept.append(Seen(record, fault))
                if fault is None:
                    ids.add(record.id)
        if len(kept) > most:
            raise DeskError(
                f"more than {most} audit records are asked for: ask for a shorter time, a case or a person"
            )
        for part in [part for part, end in ends.items() if await consumer.position(part) >= end]:
            del ends[part]
            consumer.pause(part)
    kept.sort(key=lambda seen: seen.record.at)
    return Found(kept, unreadable)


def _flat(fetched: dict[Any, list[Any]]) -> Iterator[Any]:
    for messages in fetched.values():
        yield from messages


def _decoded(value: bytes | None) -> AuditRecord | None:
    try:
        record = decode(AuditRecord, value or b"")
    except CodecError:
        return None
    return msgspec.structs.replace(record, at=record.at.astimezone(UTC))
