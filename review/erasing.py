"""Asks every desk to erase a message's or an author's words, waits for the answers, says what Kafka holds.

The request is a signed step on each partition of the case events. A desk that is down answers when it starts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # same
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]  # same
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError  # type: ignore[import-untyped]  # same

from review.audit.log import Asked, read_log
from review.cases.entries import Erasure
from review.cases.state import CaseState
from review.errors import DeskError
from review.kafka.clients import client_settings
from review.kafka.forgetting import Forgetting
from review.kafka.signing import Signing
from review.people import Person
from review.retention.forgetting import What, digest_of, erasure_id
from review.retention.holdings import CHANGELOG, HOLDS, Holding, holding
from review.settings import ReviewSettings
from schemas.codec import encode
from schemas.events import AuditRecord, CaseEvent
from schemas.headers import event_headers
from schemas.topics import load_topics

_LOOK_EVERY_S: Final = 0.5
_SKEW: Final = timedelta(minutes=2)


class Erased(msgspec.Struct, frozen=True):
    """What the desks have answered. `cases` maps each case's id to what the desk said of it.

    `silent` are the partitions that no desk has answered for: they are erased once a desk holds them.
    """

    asked_at: datetime
    cases: dict[str, str]
    silent: list[int]


class Erasing:
    """What the desk's page offers a lead: the same erasure as the command's, and a look at what it will take.

    Args:
        forgetting: Knows which cases are meant.
        held: What Kafka holds of a message.
        ask: Has every desk erase a message's or an author's words, for this person.
    """

    def __init__(
        self,
        forgetting: Forgetting,
        held: Callable[[], Awaitable[list[Holding]]],
        ask: Callable[[What, str, Person], Awaitable[Erased]],
    ) -> None:
        self._forgetting = forgetting
        self.held = held
        self.ask = ask

    async def meant(self, what: What, wanted: str) -> list[CaseState]:
        """The cases of this desk that it will take the words of; other desks find theirs themselves."""
        erasure = Erasure(what, digest_of(what, wanted), -1, datetime.now(UTC))
        return [state async for _, state in self._forgetting.meant(erasure)]


async def erase_everywhere(
    settings: ReviewSettings,
    signing: Signing,
    what: What,
    wanted: str,
    actor: str,
    *,
    wait_s: float,
    roles: Sequence[str] = (),
) -> Erased:
    """Write the request down in the audit log, send it, and wait for the desks.

    Raises DeskError: Kafka cannot be reached, a topic is missing, or this user may not write there.
    """
    step = CaseEvent(
        f"erasure:{uuid4()}", erasure_id(what, wanted), 0, "erased", actor, datetime.now(UTC), reason=what
    )
    try:
        sending = _send(settings, signing, step, roles)
        partitions = await asyncio.wait_for(sending, settings.connect_seconds)
    except (KafkaError, OSError, TimeoutError) as error:
        raise DeskError(
            f"cannot ask for the erasure at {settings.bootstrap} ({type(error).__name__}): is Kafka up, are "
            "the topics there, and may this user write to them? Nothing is lost by asking again"
        ) from None
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        cases, done = await _answers(settings, signing, step)
        silent = sorted(set(range(partitions)) - done)
        if not silent or asyncio.get_running_loop().time() > deadline:
            return Erased(step.at, cases, silent)
        await asyncio.sleep(_LOOK_EVERY_S)


async def held_by_kafka(settings: ReviewSettings) -> list[Holding]:
    """What each topic holds of a message, by the settings that the broker has. Missing topics are left out.

    Where this user may not see a topic's settings, those of its definition are assumed, and it is said.
    Raises DeskError: Kafka cannot be reached.
    """
    admin = AIOKafkaAdminClient(**client_settings(settings))
    names = {settings.topic_prefix + name: name for name in HOLDS if name != CHANGELOG}
    names[f"{settings.app_id}-cases-changelog"] = CHANGELOG
    try:
        async with asyncio.timeout(settings.connect_seconds):
            await admin.start()
            answers = await admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in names]
            )
    except (KafkaError, OSError, TimeoutError) as error:
        raise DeskError(f"cannot ask {settings.bootstrap} what it holds ({type(error).__name__})") from None
    finally:
        await admin.close()
    held = []
    defined = {topic.name: topic.config for topic in load_topics(settings.topic_prefix)}
    for answer in answers:
        for code, _, _, topic, entries in answer.resources:
            found = {name: value for name, value, *_ in entries if value is not None}
            if not code:
                held.append(holding(names[topic], topic, found))
            elif code != UnknownTopicOrPartitionError.errno:
                assumed = holding(names[topic], topic, defined.get(topic, {}))
                held.append(msgspec.structs.replace(assumed, assumed=True))
    return held


async def _send(settings: ReviewSettings, signing: Signing, step: CaseEvent, roles: Sequence[str]) -> int:
    producer = AIOKafkaProducer(**client_settings(settings), acks="all")
    await producer.start()
    try:
        record = AuditRecord(
            f"audit:{step.id}", step.at, step.actor, list(roles), "erasure_asked", detail=step.case_id
        )
        await _write(producer, signing, settings.audit_topic, step.actor, record)
        partitions = await producer.partitions_for(settings.events_topic)
        for partition in sorted(partitions):
            await _write(producer, signing, settings.events_topic, step.case_id, step, partition)
        return len(partitions)
    finally:
        await producer.stop()


async def _write(
    producer: Any,
    signing: Signing,
    topic: str,
    name: str,
    event: AuditRecord | CaseEvent,
    partition: int | None = None,
) -> None:
    key, value = name.encode(), encode(event)
    headers = [*event_headers(event), signing.sign(topic, key, value)]
    await producer.send_and_wait(topic, value, key, partition, headers=headers)


async def _answers(
    settings: ReviewSettings, signing: Signing, step: CaseEvent
) -> tuple[dict[str, str], set[int]]:
    found = await read_log(settings, signing.trusted, Asked(step.at - _SKEW, action="erased"))
    cases: dict[str, str] = {}
    done: set[int] = set()
    for seen in found.records:
        request, _, last = seen.record.id.removeprefix("audit:").partition(f"{step.id}:")
        if seen.fault is None and not request and last:
            if seen.record.case_id is not None:
                cases[seen.record.case_id] = seen.record.detail or ""
            elif last.isdigit():
                done.add(int(last))
    return cases, done
