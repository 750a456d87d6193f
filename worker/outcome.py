"""An entry becomes its outcome: a label (and perhaps a review case), or a dead letter. No I/O.

Each entry gives exactly one label or exactly one dead letter, in the order of the batch. Ids are made
from the record's origin, so that a repeated delivery has the same id.
"""

import hashlib
import math
from collections.abc import Iterator
from datetime import UTC, datetime

import schemas
from schemas.events import DeadLetter, Label, Message, Reading, ReviewCase, Severity
from schemas.topics import topic_names
from worker.batch import Entry, Outbound, Record
from worker.policy import Policy, Ruling
from worker.scores import Scores
from worker.settings import Settings

Outcome = Label | ReviewCase | DeadLetter

LONGEST_KEY = 4096  # bytes


class Outcomes:
    """Makes the outbound records of one worker: its task, its bundle, its policy."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        task: str,
        levels: tuple[str, ...],
        reading: Reading,
        fingerprint: str,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._task = task
        self._levels = levels
        self._reading: Reading = reading
        self._fingerprint = fingerprint
        self._topics = topic_names(settings.topic_prefix)

    def of(self, entry: Entry) -> Iterator[tuple[Outcome, Outbound]]:
        """The events of one entry and the records that carry them.

        Raises ValueError where an entry has neither scores nor a rejection: it would be lost.
        """
        if entry.rejection is not None:
            dead_letter = self._dead_letter(entry)
            yield (
                dead_letter,
                self._outbound(dead_letter, _partition_key(entry.record, dead_letter.id), entry.record),
            )
            return
        if entry.message is None or entry.scores is None:
            raise ValueError("an entry reached the outbox without scores and without a rejection")
        ruling = self._policy.rule(
            entry.scores, entry.message.language, schemas.label_id(entry.record.origin)
        )
        label = self._label(entry, entry.message, entry.scores, ruling)
        yield label, self._outbound(label, _partition_key(entry.record, entry.message.id), entry.record)
        if ruling.needs_review:
            case = self._case(label, entry.message, ruling)
            yield case, self._outbound(case, case.id.encode(), entry.record)

    def _label(self, entry: Entry, message: Message, scores: Scores, ruling: Ruling) -> Label:
        origin = entry.record.origin
        return Label(
            id=schemas.label_id(origin),
            message_id=message.id,
            origin=origin,
            task=self._task,
            verdict=ruling.verdict,
            risk=ruling.risk,
            severity=self._severity(scores),
            reasons=ruling.reasons,
            thresholds=self._policy.thresholds,
            reading=self._reading,
            bundle=self._fingerprint,
            windows=scores.windows,
            truncated=scores.truncated,
            cached=entry.cached,
            screened_at=datetime.now(UTC),
        )

    def _case(self, label: Label, message: Message, ruling: Ruling) -> ReviewCase:
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
        )

    def _dead_letter(self, entry: Entry) -> DeadLetter:
        record, rejection = entry.record, entry.rejection
        if rejection is None:
            raise ValueError("a dead letter needs a rejection")
        size = None if record.value is None else len(record.value)
        kept = self._settings.dead_letter_original and (size or 0) <= self._settings.dead_letter_max_bytes
        return DeadLetter(
            id=schemas.dead_letter_id(record.origin),
            origin=record.origin,
            reason=rejection.reason,
            detail=rejection.detail,
            original=record.value if kept else None,
            original_size=size,
            failed_at=datetime.now(UTC),
        )

    def _severity(self, scores: Scores) -> Severity | None:
        if scores.severity is None or not all(map(math.isfinite, scores.severity)):
            return None
        shares = dict(zip(self._levels, scores.severity, strict=True))
        return Severity(max(shares, key=shares.__getitem__), shares)

    def _outbound(self, event: Outcome, key: bytes, record: Record) -> Outbound:
        headers = schemas.event_headers(event, schemas.find_traceparent(record.headers))
        return Outbound(self._topics[type(event)], key, schemas.encode(event), headers)


def _partition_key(record: Record, fallback: str) -> bytes:
    """The platform's own key, so that what belongs together stays in one partition, in order.

    A key so long that no outcome topic would take it is replaced by its digest, the same each time.
    """
    if record.key is None:
        return fallback.encode()
    return record.key if len(record.key) <= LONGEST_KEY else hashlib.sha256(record.key).digest()
