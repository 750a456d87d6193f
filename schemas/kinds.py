"""The five kinds of event: how each is named, versioned and timed wherever its struct alone is not enough.

A version rises with every released change of a kind's schema. Every later version can be read by
whoever the topic's `compatibility` promises it to; a change that cannot be is a new kind on a new topic.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from schemas.events import DeadLetter, Event, Label, Message, ReviewCase, ReviewDecision

KindName = Literal["message", "label", "review-case", "review-decision", "dead-letter"]


class Kind(msgspec.Struct, frozen=True):
    """One kind of event.

    `source` is who writes it through this code (CloudEvents `source`); `time` is the field that says
    when it came to be. `readers_since` is the oldest version whose readers are promised today's events,
    where the topic promises that at all: versions before it were in no release.
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
    Kind("label", 3, Label, "urn:mimamori:worker", "screened_at", readers_since=2),
    Kind("review-case", 3, ReviewCase, "urn:mimamori:worker", "opened_at"),
    Kind("review-decision", 1, ReviewDecision, "urn:mimamori:review", "decided_at"),
    Kind("dead-letter", 3, DeadLetter, "urn:mimamori:worker", "failed_at"),
)
KIND_OF: Final[Mapping[type[Event], Kind]] = {kind.event: kind for kind in KINDS}
