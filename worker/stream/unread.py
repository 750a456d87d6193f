"""Opens a review case of kind `unread` for a record that nobody screened and that may be a message.

unscreenable        The model fails on this message alone. Somebody wrote it, and waits: the case goes to the
                    top of the queue.
invalid_utf8        The producer is at fault, and there may be a message under it. The case shows what can be
invalid_json        read of it. A broken producer may write thousands of them, so their cases come after
schema_mismatch     every case that the model considers urgent, and before the quality samples.
unreadable_record   The same as for those three.

null_value          No case: it is a tombstone, and nobody wrote anything.
empty_text          No case: there is nothing that a person could see.
unknown_task        No case: the workers of another task read the same topic, and are responsible for it.
text_too_long       No case: only earlier versions gave this reason.
"""

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

import schemas
from engine.policy import TOP_PRIORITY
from schemas.events import DeadLetter, Message, ReviewCase
from schemas.reasons import DeadLetterReason
from worker.kafka.record import Record
from worker.registry.framing import LENGTH, schema_id_of

BEHIND_ESCALATIONS: Final = 20.0
LONGEST_TEXT: Final = 10_000  # characters shown of a record that is no message: enough to see what it is
LONGEST_ID: Final = 256  # the limit of schemas.events.Id


def priority_of(reason: DeadLetterReason) -> float | None:
    """The priority of the reason's case in the queue, in [0, 100]; None where no case is opened."""
    match reason:
        case "unscreenable":
            return TOP_PRIORITY
        case "invalid_utf8" | "invalid_json" | "schema_mismatch" | "unreadable_record":
            return BEHIND_ESCALATIONS
        case "null_value" | "empty_text" | "unknown_task" | "text_too_long":
            return None
    assert_never(reason)


class _Scraps(msgspec.Struct):
    """The part that may be readable of a record that is not a message."""

    text: str | None = None


def unread_case(
    letter: DeadLetter,
    record: Record,
    task: str,
    levels: Sequence[str],
    *,
    with_text: bool,
    message: Message | None = None,
) -> ReviewCase | None:
    """The case for `letter`; None where its reason opens none. `with_text`: cases may carry text.

    `message` is what the record was decoded to, where it could be.
    """
    if (priority := priority_of(letter.reason)) is None:
        return None
    message = message or _message(record)
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
        author_id=message.author_id if message else None,
        sent_at=message.sent_at if message else None,
    )


def _message(record: Record) -> Message | None:
    try:
        return schemas.decode(Message, record.value or b"")
    except schemas.CodecError:
        return None


def _text(record: Record, message: Message | None) -> str:
    """The message's text, or else the `text` of a JSON object, or else the bytes as text."""
    if message is not None:
        return message.text
    value = record.value or b""
    if schema_id_of(value) is not None:
        value = value[LENGTH:]  # of framed JSON the text may be found; of Avro the strings can be seen
    try:
        scraps = msgspec.json.decode(value, type=_Scraps)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        scraps = _Scraps()
    return (scraps.text or value[: 4 * LONGEST_TEXT].decode(errors="replace"))[:LONGEST_TEXT]
