"""bytes → message, or the reason why not. All dead letters but those of messages the model fails on.

value ──► null_value
      ──► invalid_utf8 ──► invalid_json ──► schema_mismatch     (schemas.codec)
      ──► empty_text · unknown_task                              (here)
      ──► Message, whose text `within` perhaps cuts
"""

import unicodedata

import msgspec

import schemas
from schemas.events import Message
from worker.errors import RecordError


def decode(value: bytes | None, task: str, max_text_chars: int) -> Message:
    """Decode a record's value into a message for `task`. Raises RecordError with its reason.

    A text of more than `max_text_chars` is never empty: nobody looks at each of its characters.
    """
    if value is None:
        raise RecordError("null_value", "the record has no value")
    try:
        message = schemas.decode(Message, value)
    except schemas.CodecError as error:
        raise RecordError(error.reason, error.detail) from None
    if len(message.text) <= max_text_chars and not any(map(_is_visible, message.text)):
        raise RecordError("empty_text", "text is empty, or nothing but whitespace and invisible characters")
    if message.task is not None and message.task != task:
        raise RecordError("unknown_task", f"this worker screens for {task}")
    return message


def within(message: Message, max_text_chars: int) -> tuple[Message, bool]:
    """The message with at most so much of its text, and whether it was cut.

    What is above the limit is not read, so that its label says truncated and is never clear.
    """
    if len(message.text) <= max_text_chars:
        return message, False
    return msgspec.structs.replace(message, text=message.text[:max_text_chars]), True


def _is_visible(character: str) -> bool:
    """Whether a person could see it.

    Control and format characters (zero-width space, byte order mark, direction marks) are seen by nobody.
    What this Python's Unicode does not know yet, such as a new emoji, counts as visible.
    """
    return not character.isspace() and unicodedata.category(character) not in {"Cc", "Cf"}
