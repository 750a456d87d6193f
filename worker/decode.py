"""bytes → message, or the reason why not. All dead letters but those of messages the model fails on.

value ──► null_value
      ──► invalid_utf8 ──► invalid_json ──► schema_mismatch     (schemas.codec)
      ──► text_too_long · empty_text · unknown_task              (here)
      ──► Message
"""

import unicodedata

import schemas
from schemas.events import Message
from worker.errors import RecordError


def decode(value: bytes | None, task: str, max_text_chars: int) -> Message:
    """Decode a record's value into a message for `task`. Raises RecordError with its reason code."""
    if value is None:
        raise RecordError("null_value", "the record has no value")
    try:
        message = schemas.decode(Message, value)
    except schemas.InvalidUtf8 as error:
        raise RecordError("invalid_utf8", str(error)) from None
    except schemas.InvalidJson as error:
        raise RecordError("invalid_json", str(error)) from None
    except schemas.SchemaMismatch as error:
        raise RecordError("schema_mismatch", str(error)) from None
    if len(message.text) > max_text_chars:
        raise RecordError("text_too_long", f"text has more than {max_text_chars} characters")
    if not any(map(_is_visible, message.text)):
        raise RecordError("empty_text", "text is empty, or nothing but whitespace and invisible characters")
    if message.task is not None and message.task != task:
        raise RecordError("unknown_task", f"this worker screens for {task}")
    return message


def _is_visible(character: str) -> bool:
    """Whether a person could see it.

    Control and format characters (zero-width space, byte order mark, direction marks) are seen by nobody.
    What this Python's Unicode does not know yet, such as a new emoji, counts as visible.
    """
    return not character.isspace() and unicodedata.category(character) not in {"Cc", "Cf"}
