"""Reads a file's rows as messages, and checks each row."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from export.rows import Separator, Tell, read_rows, typed_rows
from schemas.events import Message

FIELDS = tuple(field.name for field in msgspec.structs.fields(Message))


def read_messages(
    path: Path, separator: Separator | None = None, tell: Tell = lambda _: None
) -> Iterator[Message]:
    """Yield the messages of a JSONL, CSV, TSV or Parquet file, one at a time.

    `text` is required; `id` defaults to the file's name and the row's number. Columns that are not fields of
    a message are left out, and `tell` is called with a line that names them.
    Raises TaskError naming row, field and remedy, never quoting a text.
    """
    return typed_rows(path, read_rows(path, FIELDS, separator, tell), Message, stem=path.stem)


def message_key(message: Message) -> bytes:
    """The record key, which keeps a conversation in one partition and so in order."""
    return (message.conversation_id or message.id).encode()
