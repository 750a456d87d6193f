"""Decodes a record's bytes into a message, or raises the reason why it becomes a dead letter.

value ──► null_value
      ──► framed: schema_mismatch · unreadable_record · as below (worker.registry)
      ──► invalid_utf8 ──► invalid_json ──► schema_mismatch     (schemas.codec)
      ──► empty_text · unknown_task                              (here)
      ──► Message, whose text `within` cuts where it is too long

Two reasons are given elsewhere: `unreadable_record` in `reception.py`, `unscreenable` there and in
`screener.py`.
"""

import unicodedata
from collections.abc import Callable
from typing import Final

import msgspec

import schemas
from schemas.events import Message
from worker.errors import RecordError
from worker.registry.framing import schema_id_of

NO_REGISTRY: Final = "begins with a zero byte, as framed values do: MIMAMORI_SCHEMA_REGISTRY_URL is not set"


def decode(
    value: bytes | None,
    tasks: frozenset[str],
    max_text_chars: int,
    read_framed: Callable[[bytes], Message] | None = None,
) -> Message:
    """Decode a record's value into a message for one of `tasks`. Raises RecordError with its reason.

    `read_framed` reads values that are framed for a schema registry; None where there is none.
    """
    if value is None:
        raise RecordError("null_value", "the record has no value")
    if schema_id_of(value) is None:
        message = _read_plain(value)
    elif read_framed is not None:
        message = read_framed(value)
    else:
        raise RecordError("invalid_json", NO_REGISTRY)
    require_visible(message, max_text_chars)
    if message.task is not None and message.task not in tasks:
        raise RecordError("unknown_task", f"this worker screens for {', '.join(sorted(tasks))}")
    return message


def _read_plain(value: bytes) -> Message:
    try:
        return schemas.decode(Message, value)
    except schemas.CodecError as error:
        raise RecordError(error.reason, error.detail) from None


def require_visible(message: Message, max_text_chars: int) -> None:
    """Raise RecordError where nobody could see anything of the message's text.

    A text longer than `max_text_chars` is never called empty, since its characters are not checked.
    """
    if len(message.text) <= max_text_chars and not any(map(_is_visible, message.text)):
        raise RecordError("empty_text", "text is empty, or nothing but whitespace and invisible characters")


def within(message: Message, max_text_chars: int) -> tuple[Message, bool]:
    """The message with at most `max_text_chars` of its text, and whether the text was cut.

    The rest of the text is not read, so that the message's label says truncated and is never clear.
    """
    if len(message.text) <= max_text_chars:
        return message, False
    return msgspec.structs.replace(message, text=message.text[:max_text_chars]), True


def _is_visible(character: str) -> bool:
    """Whether a person could see the character.

    Control and format characters (zero-width space, byte order mark, direction marks) are invisible.
    A character that this Python's Unicode does not know yet, such as a new emoji, counts as visible.
    """
    return not character.isspace() and unicodedata.category(character) not in {"Cc", "Cf"}
