"""What nobody screened and may be somebody's message goes to a person: a review case of kind `unread`.

unscreenable        the model fails on this message alone. Somebody wrote it, and waits: the top of the queue
invalid_utf8        a producer's fault, and perhaps a message under it. What can be read of it is shown.
invalid_json        A broken producer may write thousands: they stand behind every case that the model
schema_mismatch     thinks urgent, and before the quality samples
unreadable_record   as those

null_value          no case: a tombstone, nobody wrote anything
empty_text          no case: there is nothing that a person could see
unknown_task        no case: it is for another task's workers, which read the same topic and answer for it
text_too_long       no case: earlier versions gave it, and no worker does any more
"""

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

import schemas
from engine.policy import TOP_PRIORITY
from schemas.events import DeadLetter, Message, ReviewCase
from schemas.vocabulary import DeadLetterReason
from worker.kafka.record import Record

BEHIND_ESCALATIONS: Final = 20.0
LONGEST_TEXT: Final = 10_000  # characters of a record that is no message: enough to see what it is
LONGEST_ID: Final = 256  # as schemas.events.Id


def priority_of(reason: DeadLetterReason) -> float | None:
    """Where its case stands in the queue, in [0, 100]; None where no case is opened."""
    match reason:
        case "unscreenable":
            return TOP_PRIORITY
        case "invalid_utf8" | "invalid_json" | "schema_mismatch" | "unreadable_record":
            return BEHIND_ESCALATIONS
        case "null_value" | "empty_text" | "unknown_task" | "text_too_long":
            return None
    assert_never(reason)


class _Scraps(msgspec.Struct):
    """What may be readable of a record that is not a message."""

    text: str | None = None


def unread_case(
    letter: DeadLetter, record: Record, task: str, levels: Sequence[str], *, with_text: bool
) -> ReviewCase | None:
    """The case of `letter`; None where its reason opens none. `with_text`: cases may carry text."""
    if (priority := priority_of(letter.reason)) is None:
        return None
    message = _message(record)
    place = f"{record.topic}:{record.partition}:{record.offset}"
    return ReviewCase(
        id=schemas.case_id(letter.origin),
        label_id=None,
        message_id=message.id if message else place[-LONGEST_ID:],
        origin=letter.origin,
        task=task,
        kind="unread",
        verdict=None,
        risk=None,
        severity=None,
        priority=priority,
        reasons=[],
        bundle=None,
        conversation_id=message.conversation_id if message else None,
        text=_text(record, message) if with_text else None,
        opened_at=letter.failed_at,
        dead_letter_id=letter.id,
        unread_because=letter.reason,
        levels=list(levels),
    )


def _message(record: Record) -> Message | None:
    try:
        return schemas.decode(Message, record.value or b"")
    except schemas.CodecError:
        return None


def _text(record: Record, message: Message | None) -> str:
    """The message's text, or the `text` of a JSON object that is none, or the bytes as text."""
    if message is not None:
        return message.text
    value = record.value or b""
    try:
        scraps = msgspec.json.decode(value, type=_Scraps)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        scraps = _Scraps()
    return (scraps.text or value[: 4 * LONGEST_TEXT].decode(errors="replace"))[:LONGEST_TEXT]
