"""The eight events, as typed structs. Platforms read this file (or the JSON Schemas made from it).

Their words, such as verdicts and reasons, are in `vocabulary.py`.

    message          a platform -> Mimamori        one text message to screen
    label            Mimamori -> a platform        exactly one per screened message
    review-case      Mimamori -> reviewers         for each message a person must look at
    review-decision  reviewers -> a platform       what a person decided about a case
    dead-letter      Mimamori -> ops               a record that could not be screened, and why
    shadow-label     Mimamori -> ops               what another bundle would have said, for comparison alone
    case-event       review desk -> review desk    one step in the life of a case: claimed, decided …
    audit-record     review desk -> auditors       who looked at what, or did what, and when

Unknown fields are accepted everywhere, so that a newer producer never breaks an older consumer. The ids of
events that Mimamori writes are made from topic, partition and offset. So a repeated delivery has the same
id, and an at-least-once consumer can always drop it. Times are UTC, RFC 3339.

`gc=False`: events hold no cycles, so that the garbage collector can skip thousands of them per batch.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from schemas.reasons import DeadLetterReason, Reason
from schemas.vocabulary import CaseAction, CaseKind, Finding, Reading, Verdict

# A platform's own id. Mimamori's are made from a topic's name (up to 249 characters), and may be longer.
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Short = Annotated[str, msgspec.Meta(max_length=256)]
OwnId = Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
# RFC 3339 with a UTC offset, since a time without one could be wrong by half a day.
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The record that an event is about."""

    topic: str
    partition: Count
    offset: Count


class Severity(msgspec.Struct, frozen=True, gc=False):
    """The model's guess. It orders the review queue; it never closes a case.

    `level` is the most probable level; `scores` maps every level to its probability.
    """

    level: str
    scores: dict[str, Probability]


class Thresholds(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The risk scores that separate the verdicts, and the calibration that they come from.

    Where the calibration states a bound: at most `max_miss_rate` of the messages at risk are cleared, with
    `confidence`, or on average where that is None. Risks mean what they say where `prevalence` is the share
    of messages at risk.
    """

    lower: Probability
    upper: Probability
    calibration: str
    max_miss_rate: Probability | None = None
    confidence: Probability | None = None
    prevalence: Probability | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A text message to screen. Only `id` and `text` are required.

    `task` names the one task that it is meant for; by default, that of whichever worker reads the topic.
    """

    id: Id
    text: str
    task: Short | None = None
    conversation_id: Short | None = None
    author_id: Short | None = None
    language: Short | None = None
    sent_at: Time | None = None


class Label(msgspec.Struct, frozen=True, gc=False):
    """The outcome of a screened message. `bundle` is the fingerprint of the model that read it.

    `scored_by` identifies everything that determined the score: the model's numbers, the precision of the
    computation, and how the text was cut and normalised. Risks of labels that share it are comparable. It is
    None before version 3.

    `depth` is how many layers of the network were read to decide. Where messages may stop early, those that
    were cleared at the shallow depth have that one here, and all others the full one. It is None before
    version 4.
    """

    id: OwnId
    message_id: Id
    origin: Origin
    task: str
    verdict: Verdict
    risk: Probability
    severity: Severity | None
    reasons: list[Reason]
    thresholds: Thresholds
    reading: Reading
    bundle: str
    windows: Count
    truncated: bool
    cached: bool
    screened_at: Time
    scored_by: str | None = None
    depth: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Highlight(msgspec.Struct, frozen=True, gc=False):
    """A span of a message's text that raised its risk: from code point `start` up to, not with, `end`.

    Code points are those of the text as the platform sent it. Python counts so; JavaScript, Java and C# count
    UTF-16 units, of which most emoji have two. `weight` is the span's share of all that raised the risk.
    """

    start: Count
    end: Annotated[int, msgspec.Meta(ge=1)]
    weight: Probability


class ReviewCase(msgspec.Struct, frozen=True, gc=False):
    """A message that a person must look at. The queue is worked from the highest `priority` down.

    A case of kind `unread` is about a record that no model has read. It belongs to a dead letter and not to a
    label: `label_id`, `verdict`, `risk` and `bundle` are None, and `unread_because` says why. Where the
    message's id could not be read, `message_id` is the record's place: `topic:partition:offset`.

    `text` is None unless the worker's settings put message text on review cases. Where the text did not fit
    the topic, `text_shortened` is true, and `text` holds its beginning and its end.

    `levels` are the task's severity levels, least severe first. A decision on this case chooses from them.
    Cases of versions before 4 have none.

    `highlights` are the spans of the message that raised its risk most, in order. They are offsets and no
    text, into the message and not into a shortened `text`. There are none where the worker does not look for
    them, in cases of other kinds than `escalation`, and in versions before 5.

    `author_id` and `sent_at` are the message's. `thresholds` and `scored_by` are its label's, so that a
    person's decision can be traced to the calibration and the score. All four are None where the record could
    not be read, and in versions before 6.
    """

    id: OwnId
    label_id: OwnId | None
    message_id: Id
    origin: Origin
    task: str
    kind: CaseKind
    verdict: Verdict | None
    risk: Probability | None
    severity: Severity | None
    priority: Annotated[float, msgspec.Meta(ge=0.0, le=100.0)]
    reasons: list[Reason]
    bundle: str | None
    conversation_id: Short | None
    text: str | None
    opened_at: Time
    text_shortened: bool = False
    dead_letter_id: OwnId | None = None
    unread_because: DeadLetterReason | None = None
    levels: list[str] = []
    highlights: list[Highlight] = []
    author_id: Short | None = None
    sent_at: Time | None = None
    thresholds: Thresholds | None = None
    scored_by: str | None = None


class ReviewDecision(msgspec.Struct, frozen=True, gc=False):
    """What a person decided about a case. `severity` is a level of the task, where `finding` is at_risk.

    `note` is None unless the desk's settings publish what reviewers note: no erasure reaches it here.

    `supersedes` is the id of an earlier decision on the same case that this one replaces, after a lead has
    reopened the case or somebody has appealed. `bundle` and `scored_by` are the case's. All three are None in
    version 1.
    """

    id: OwnId
    case_id: OwnId
    message_id: Id
    task: str
    reviewer: Id
    finding: Finding
    severity: str | None
    note: str | None
    decided_at: Time
    supersedes: OwnId | None = None
    bundle: str | None = None
    scored_by: str | None = None


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A record that could not be screened. `detail` names the field or rule, never the text.

    `original` holds the record's bytes (base64 in JSON) only where the worker's settings allow it and they
    fit. `original_size` is always the number of bytes; it is None for a null value.
    """

    id: OwnId
    origin: Origin
    reason: DeadLetterReason
    detail: str
    original: bytes | None
    original_size: Count | None
    failed_at: Time


class ShadowLabel(msgspec.Struct, frozen=True, gc=False):
    """What a bundle that only watches would have said about a message. Nobody may act on it.

    It has no `verdict`: where a label has that field, this has `would_be`. So it can never be read as a
    label, whatever topic it is found in. `origin` is also that of the message's label, and of its review
    case.
    """

    id: OwnId
    message_id: Id
    origin: Origin
    task: str
    would_be: Verdict
    risk: Probability
    severity: Severity | None
    reasons: list[Reason]
    thresholds: Thresholds
    reading: Reading
    bundle: str
    windows: Count
    truncated: bool
    cached: bool
    screened_at: Time
    scored_by: str


class CaseEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One step in the life of a review case. A case's state is what its events add up to, in their order.

    `revision` is how many events had been accepted on the case when this one was made. It is accepted only if
    that is still so, and refused otherwise. So of two steps at one moment, the first in the log counts, and a
    step that is delivered again changes nothing. No clock takes part: a lease ends by an event, `expired`.

    `actor` is the id of the person, or `desk` for what the desk does by itself. `lease` names the claim that
    a step belongs to; `until` is when a claim or an undo window is meant to end. `reader` is who may claim
    the case next, where it was handed over. `reason` is one word of why; `decision` is what was decided, on
    `decided` and `settled`, without its note. `remark` is what somebody typed, a note or why, sealed under a
    key of this case that goes with the case's words. It is None in version 1, where words stood in `reason`
    and in the decision.
    """

    id: OwnId
    case_id: OwnId
    revision: Count
    action: CaseAction
    actor: Id
    at: Time
    lease: Short | None = None
    until: Time | None = None
    reader: Id | None = None
    reason: Short | None = None
    decision: ReviewDecision | None = None
    remark: str | None = None


class AuditRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a person did at the desk, reading included, or what was refused to them. Never text, never a note.

    `action` is a word such as `signed_in`, `listed`, `revealed`, `claimed`, `decided`, `exported`, `refused`.
    `detail` says more in words or figures: a filter, a finding, a rule. `bundle`, `calibration` and
    `scored_by` are those of the case.
    """

    id: OwnId
    at: Time
    actor: Id
    roles: list[Short]
    action: Short
    case_id: OwnId | None = None
    message_id: Id | None = None
    task: Short | None = None
    bundle: str | None = None
    calibration: str | None = None
    scored_by: str | None = None
    detail: Annotated[str, msgspec.Meta(max_length=1024)] | None = None


Event = Message | Label | ReviewCase | ReviewDecision | DeadLetter | ShadowLabel | CaseEvent | AuditRecord
