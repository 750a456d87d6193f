"""Events that were not believed, such as one without a signature: kept for a lead to look at. Pure."""

from datetime import datetime
from hashlib import blake2b
from typing import Final, Literal

import msgspec

HeldBecause = Literal[
    "bad_signature", "unknown_case", "ahead_of_its_case", "not_of_this_desk", "not_what_was_settled"
]

MAX_HELD: Final = 20


class HeldEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that was not believed: where it stands in Kafka, and what it claims. Nothing of it counts."""

    topic: str
    offset: int
    because: HeldBecause
    action: str
    actor: str
    seen_at: datetime


class Held(msgspec.Struct, frozen=True, tag="held", omit_defaults=True):
    """The events on one case that were not believed: the first of them, and how many more there were."""

    case_id: str
    partition: int
    events: list[HeldEvent]
    more: int = 0


def hold(held: Held | None, case_id: str, partition: int, event: HeldEvent) -> Held:
    """Return the entry of held events with one more. An event that is delivered again counts only once."""
    if held is None:
        return Held(case_id, partition, [event])
    if any((known.topic, known.offset) == (event.topic, event.offset) for known in held.events):
        return held
    if len(held.events) >= MAX_HELD:
        return msgspec.structs.replace(held, more=held.more + 1)
    return msgspec.structs.replace(held, events=[*held.events, event])


def digest_of_held(held: Held) -> str:
    """What stands for exactly these events. Who sets them aside names it, so that no others go with them."""
    return blake2b(msgspec.json.encode(held), digest_size=16).hexdigest()
