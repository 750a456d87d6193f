"""The eight kinds of event: each one's name, version, source and time, which its struct does not state.

A kind's version rises with every released change of its schema. Each new version can be read by those to whom
the topic's `compatibility` promises it. A change that breaks this promise needs a new kind on a new topic.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from schemas.events import (
    AuditRecord,
    CaseEvent,
    DeadLetter,
    Event,
    Label,
    Message,
    ReviewCase,
    ReviewDecision,
    ShadowLabel,
)

KindName = Literal[
    "message",
    "label",
    "review-case",
    "review-decision",
    "dead-letter",
    "shadow-label",
    "case-event",
    "audit-record",
]


class Kind(msgspec.Struct, frozen=True):
    """One kind of event.

    `source` names the writer of such events in this code (CloudEvents `source`); `time` is the field that
    says when an event was made. `readers_since` is the oldest version whose readers can read today's events,
    where the topic promises that at all: earlier versions were never released.
    """

    name: KindName
    version: int
    event: type[Event]
    source: str
    time: str
    readers_since: int = 1

    @property
    def urn(self) -> str:
        """The `$id` of its JSON Schema."""
        return f"urn:mimamori:{self.name}:{self.version}"


KINDS: Final = (
    Kind("message", 1, Message, "urn:mimamori:replay", "sent_at"),
    Kind("label", 4, Label, "urn:mimamori:worker", "screened_at", readers_since=2),
    Kind("review-case", 6, ReviewCase, "urn:mimamori:worker", "opened_at"),
    Kind("review-decision", 2, ReviewDecision, "urn:mimamori:review", "decided_at"),
    Kind("dead-letter", 3, DeadLetter, "urn:mimamori:worker", "failed_at"),
    Kind("shadow-label", 1, ShadowLabel, "urn:mimamori:shadow", "screened_at"),
    Kind("case-event", 2, CaseEvent, "urn:mimamori:review", "at"),
    Kind("audit-record", 1, AuditRecord, "urn:mimamori:review", "at"),
)
KIND_OF: Final[Mapping[type[Event], Kind]] = {kind.event: kind for kind in KINDS}
