"""Keeps outcomes small enough for Kafka: within the limits of the outcome topics and of the client.

The limits are read at start. A refusal by Kafka would come too late, since the same record would be refused
again after every restart. An outcome that does not fit loses a part that it can do without: a dead letter
its original, a review case the middle of its text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

import schemas
from schemas.events import DeadLetter, Event, Label, ReviewCase, ShadowLabel
from worker.errors import BrokerError
from worker.kafka.topics import TopicState

Room = Mapping[type[Event], int]  # how many bytes the value of an event may have

SMALLEST: Final = 16_384  # bytes; a topic that takes less could not take every label
# Bytes that are kept free around a value: for batch, record, a key of up to 4,096 bytes, and headers.
AROUND: Final = 6_144
CUT: Final = "\n[…]\n"
_OUTCOMES: Final[Mapping[str, type[Event]]] = {
    "label": Label,
    "review-case": ReviewCase,
    "dead-letter": DeadLetter,
    "shadow-label": ShadowLabel,
}


def find_room(states: Sequence[TopicState], client_config: Mapping[str, Any]) -> dict[type[Event], int]:
    """Find how large each kind of outcome may be. Raises BrokerError: a limit is below SMALLEST."""
    own = client_config.get("message.max.bytes")
    if own is not None and int(own) < SMALLEST:
        raise BrokerError(
            f"message.max.bytes of MIMAMORI_KAFKA is {own}, and an outcome can need {SMALLEST}: raise it"
        )
    room: dict[type[Event], int] = {}
    for state in states:
        kind = _OUTCOMES.get(state.definition.event or "")
        if kind is None or state.max_bytes is None:
            continue
        if state.max_bytes < SMALLEST:
            wanted = state.definition.max_message_bytes
            raise BrokerError(
                f"{state.definition.name} takes {state.max_bytes} bytes (max.message.bytes), and an outcome "
                f"can need {SMALLEST}: kafka-configs.sh --alter --entity-type topics --entity-name "
                f"{state.definition.name} --add-config max.message.bytes={wanted}"
            )
        room[kind] = min(state.max_bytes, int(own or state.max_bytes)) - AROUND
    return room


def batch_size(room: Room) -> int:
    """The most bytes that a producer may put into one batch, as topics limit batches, not records."""
    return min([1_000_000, *(most + AROUND for most in room.values())])


def encode_within(event: Label | ReviewCase | DeadLetter, most: int | None) -> bytes:
    """Encode `event` in at most `most` bytes (None: any number), shortened only where it must be."""
    value = schemas.encode(event)
    if most is None or len(value) <= most:
        return value
    if isinstance(event, DeadLetter):
        return schemas.encode(msgspec.structs.replace(event, original=None))
    if isinstance(event, ReviewCase) and event.text is not None:
        return _with_less_text(event, event.text, most)
    return value


def _with_less_text(case: ReviewCase, text: str, most: int) -> bytes:
    """Encode a case with the beginning and the end of its text, as much of both as fits."""
    value, kept = b"", len(text)
    empty = len(schemas.encode(msgspec.structs.replace(case, text=CUT, text_shortened=True)))
    while kept > 0:
        size = len(value or schemas.encode(case))
        kept = min(kept - 1, int(kept * (most - empty) / max(1, size - empty)))
        half = max(0, kept // 2)
        shorter = text[:half] + CUT + text[len(text) - half :]
        value = schemas.encode(msgspec.structs.replace(case, text=shorter, text_shortened=True))
        if len(value) <= most:
            break
    return value
