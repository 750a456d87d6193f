"""What Kafka holds of a message once it is decided on or erased, and until when at the latest. Pure.

It is said of every topic that a message leaves traces in, by that topic's settings: those of its definition
for the documentation, and those that the broker has for `mimamori erase`.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from schemas.topics import TopicDefinition

CHANGELOG: Final = "review-changelog"
# Each topic by the last part of its name: what of a message is in it, and whether its words can be.
HOLDS: Final[Mapping[str, tuple[str, bool]]] = {
    "messages": ("the message itself, and its author's id", True),
    "labels": ("the message's id and its score; no text", False),
    "review-cases": ("the case: its text where the worker's settings say so, its author's id", True),
    "review-decisions": ("the finding; the reviewer's note where publish_notes is on", True),
    "dead-letters": ("the original, where the worker's settings say so and it could not be read", True),
    "shadow-labels": ("the message's id and another bundle's score; no text", False),
    "case-events": ("the steps on the case; what people typed, sealed: its key goes with the words", False),
    "case-subjects": ("a digest of the author's id, and the case's id; no text", False),
    "review-webhooks": ("the case's id, and whether a webhook was told; no text", False),
    "review-audit": ("the message's and the case's id, who saw it and when; no text", False),
    CHANGELOG: ("the case, sealed: nobody reads it without the table's key", True),
}
# Told to forget by the desk, and so kept no longer than compaction takes.
FORGETTING: Final = frozenset({"review-cases", CHANGELOG})
# Kafka's defaults, where neither topic nor definition says otherwise.
_DEFAULTS: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * 86_400_000),
    "segment.ms": str(7 * 86_400_000),
    "max.compaction.lag.ms": str(2**63 - 1),
    "file.delete.delay.ms": "60000",
}
_CLEANER: Final = timedelta(minutes=5)  # the broker looks for what to delete, or to compact, this often


class Holding(msgspec.Struct, frozen=True):
    """What a topic holds. `gone_after` counts from when it was `told` to forget, or else from its writing.

    `words` says whether the message's words can be in it. `gone_after` is None where it keeps them for ever.
    `assumed` says that the broker did not tell its settings, so that those of the definition stand here.
    `name` is the topic's without its prefix.
    """

    topic: str
    what: str
    words: bool
    told: bool
    gone_after: timedelta | None
    assumed: bool = False
    name: str = ""


def holding(name: str, topic: str, settings: Mapping[str, str]) -> Holding:
    """What `topic` holds, whose name without the prefix is `name`, by its settings in Kafka's words."""
    known = {**_DEFAULTS, **settings}
    what, words = HOLDS[name]
    told = name in FORGETTING and "compact" in known["cleanup.policy"]
    # A record is deleted with its segment, which may have been written to for as long as it could be open.
    if told:
        longest = _ms(known["max.compaction.lag.ms"])
    elif "delete" in known["cleanup.policy"] and int(known["retention.ms"]) >= 0:
        longest = _sum(_ms(known["retention.ms"]), _ms(known["segment.ms"]))
    else:
        longest = None
    gone_after = _sum(longest, _CLEANER, _ms(known["file.delete.delay.ms"]))
    return Holding(topic, what, words, told, gone_after, name=name)


def by_definition(topic: TopicDefinition, prefix: str = "") -> Holding | None:
    """What a topic holds, by its definition; None for one that no message leaves a trace in."""
    name = topic.name.removeprefix(prefix)
    return holding(name, topic.name, topic.config) if name in HOLDS else None


def in_words(span: timedelta | None) -> str:
    """A span of time for people, rounded up: 90 min, 26 h, 31 d."""
    if span is None:
        return "for ever"
    minutes = -(-span // timedelta(minutes=1))
    for unit, size, until in (("min", 1, 120), ("h", 60, 72 * 60)):
        if minutes < until:
            return f"{-(-minutes // size)} {unit}"
    return f"{-(-minutes // 1440)} d"


def _ms(value: str) -> timedelta | None:
    number = int(value)
    return None if number > 10 * 365 * 86_400_000 else timedelta(milliseconds=number)


def _sum(*spans: timedelta | None) -> timedelta | None:
    found = [span for span in spans if span is not None]
    return sum(found, timedelta()) if len(found) == len(spans) else None
