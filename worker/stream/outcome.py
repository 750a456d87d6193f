"""Turns each entry into its outcome: a label or a dead letter, and perhaps a review case. It does no I/O.

Each entry gives exactly one label or exactly one dead letter, in the order of the batch. Ids are made
from the record's origin, so that a repeated delivery has the same id.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Protocol, Self

import schemas
from engine.policy import Ruling
from engine.scores import Scores
from schemas.events import (
    DeadLetter,
    Highlight,
    Label,
    Message,
    ReviewCase,
    Severity,
    ShadowLabel,
    Thresholds,
)
from schemas.topics import topic_names
from schemas.vocabulary import Reading
from worker.errors import RecordError
from worker.kafka.record import Outbound, Record
from worker.registry.label_writing import FramedLabels
from worker.settings import Settings
from worker.stream.batch import Entry
from worker.stream.pipeline import Pipeline
from worker.stream.room import Room, encode_within
from worker.stream.routing import Routing
from worker.stream.unread import unread_case

Outcome = Label | ReviewCase | DeadLetter | ShadowLabel  # the last from a shadow alone

LONGEST_KEY = 4096  # bytes
SEVERITIES = 4096  # how many are cached


class OutcomesOf(Protocol):
    """What the outbox asks for the outcomes of a batch."""

    def of(self, entries: Sequence[Entry]) -> Iterator[tuple[Outcome, Outbound]]:
        """Make the events of entries, in order, each with its outbound record."""


@dataclass(frozen=True, slots=True)
class _Common:
    """What the labels of one pipeline have in common, and what makes the rest of them."""

    task: str
    thresholds: Thresholds
    reading: Reading
    bundle: str
    scored_by: str
    rule: Callable[[Scores, str | None, str], Ruling]
    severity: Callable[[tuple[float, ...] | None], Severity | None]

    @classmethod
    def of(cls, pipeline: Pipeline) -> Self:
        """Look it up once, as there is a label for every message."""
        # The severity is cached, since a text that comes again has the same one.
        severity = lru_cache(maxsize=SEVERITIES)(partial(severity_of, pipeline.task.level_names))
        policy, engine = pipeline.policy, pipeline.engine
        return cls(
            pipeline.task.name,
            policy.thresholds,
            engine.reading,
            pipeline.fingerprint,
            engine.identity.name,
            policy.rule,
            severity,
        )


class Outcomes:
    """Makes the outbound records of one worker, as the pipeline of each entry rules."""

    def __init__(
        self,
        settings: Settings,
        routing: Routing,
        room: Room = MappingProxyType({}),
        framed: FramedLabels | None = None,
    ) -> None:
        """`room` limits the size of each kind of outcome. A kind that it does not name may have any size.

        `framed` writes labels behind a schema registry's frame; None writes them as plain JSON.
        """
        self._settings = settings
        self._room = room
        self._framed = framed
        self._default = routing.default
        self._topics = topic_names(settings.topic_prefix)
        self._common = {pipeline: _Common.of(pipeline) for pipeline in routing.pipelines}

    def of(self, entries: Sequence[Entry]) -> Iterator[tuple[Outcome, Outbound]]:
        """Make the events of entries, in order, each with its outbound record. All have the same time.

        Raises ValueError where an entry has neither scores nor a rejection, since it would be lost.
        """
        now = datetime.now(UTC)
        for entry in entries:
            record, message, scores = entry.record, entry.message, entry.reading
            pipeline = entry.pipeline or self._default
            if entry.rejection is not None:
                dead_letter = self._dead_letter(record, entry.rejection, now)
                yield (
                    dead_letter,
                    self._outbound(dead_letter, _partition_key(record, dead_letter.id), entry),
                )
                task, with_text = pipeline.task, self._settings.case_text
                unread = unread_case(
                    dead_letter,
                    record,
                    task.name,
                    task.level_names,
                    with_text=with_text,
                    message=entry.unread,
                )
                if unread is not None:
                    yield unread, self._outbound(unread, unread.id.encode(), entry)
                continue
            if message is None or scores is None:
                raise ValueError("an entry reached the outbox without scores and without a rejection")
            origin = record.origin
            label_id = schemas.label_id(origin)
            common = self._common[pipeline]
            ruling = common.rule(scores, message.language, label_id)
            label = Label(
                id=label_id,
                message_id=message.id,
                origin=origin,
                task=common.task,
                verdict=ruling.verdict,
                risk=ruling.risk,
                severity=common.severity(scores.severity),
                reasons=ruling.reasons,
                thresholds=common.thresholds,
                reading=common.reading,
                bundle=common.bundle,
                windows=scores.windows,
                truncated=scores.truncated,
                cached=entry.cached,
                screened_at=now,
                scored_by=common.scored_by,
                depth=scores.depth,
            )
            yield label, self._label(label, _partition_key(record, message.id), entry)
            if ruling.needs_review:
                case = self._case(pipeline, label, message, ruling, scores.highlights or ())
                yield case, self._outbound(case, case.id.encode(), entry)

    def _case(
        self,
        pipeline: Pipeline,
        label: Label,
        message: Message,
        ruling: Ruling,
        highlights: Sequence[Highlight],
    ) -> ReviewCase:
        return ReviewCase(
            id=schemas.case_id(label.origin),
            label_id=label.id,
            message_id=label.message_id,
            origin=label.origin,
            task=label.task,
            kind="quality_sample" if ruling.quality_sample else "escalation",
            verdict=label.verdict,
            risk=label.risk,
            severity=label.severity,
            priority=ruling.priority,
            reasons=label.reasons,
            bundle=label.bundle,
            conversation_id=message.conversation_id,
            text=message.text if self._settings.case_text else None,
            opened_at=label.screened_at,
            levels=list(pipeline.task.level_names),
            # A person who looks at a sample of clear messages must judge it by themselves.
            highlights=[] if ruling.quality_sample else list(highlights),
            author_id=message.author_id,
            sent_at=message.sent_at,
            thresholds=label.thresholds,
            scored_by=label.scored_by,
        )

    def _dead_letter(self, record: Record, rejection: RecordError, now: datetime) -> DeadLetter:
        size = None if record.value is None else len(record.value)
        kept = self._settings.dead_letter_original and (size or 0) <= self._settings.dead_letter_max_bytes
        return DeadLetter(
            id=schemas.dead_letter_id(record.origin),
            origin=record.origin,
            reason=rejection.reason,
            detail=rejection.detail,
            original=record.value if kept else None,
            original_size=size,
            failed_at=now,
        )

    def _label(self, label: Label, key: bytes, entry: Entry) -> Outbound:
        if (framed := self._framed) is None:
            return self._outbound(label, key, entry)
        headers = schemas.event_headers(label, entry.cause, framed.content_type)
        return Outbound(self._topics[Label], key, framed.encode(label), headers)

    def _outbound(self, event: Label | ReviewCase | DeadLetter, key: bytes, entry: Entry) -> Outbound:
        headers = schemas.event_headers(event, entry.cause)
        return Outbound(
            self._topics[type(event)], key, encode_within(event, self._room.get(type(event))), headers
        )


def severity_of(levels: tuple[str, ...], scores: tuple[float, ...] | None) -> Severity | None:
    """The severity that events carry: the likeliest level, and all shares. None where there are no scores."""
    if scores is None or not all(map(math.isfinite, scores)):
        return None
    shares = dict(zip(levels, scores, strict=True))
    return Severity(max(shares, key=shares.__getitem__), shares)


def _partition_key(record: Record, fallback: str) -> bytes:
    """The key that the platform chose, so that records that share it stay in one partition, in order.

    A record without a key gets `fallback`. A key that is too long for the outcome topics is replaced by its
    digest, which is the same each time.
    """
    if record.key is None:
        return fallback.encode()
    return record.key if len(record.key) <= LONGEST_KEY else hashlib.sha256(record.key).digest()
