"""Rows of a JSONL or CSV file as messages. Every row is checked before it is sent."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from schemas.events import Message
from worker.errors import TaskError

FIELDS = tuple(field.name for field in msgspec.structs.fields(Message))


def read_messages(path: Path) -> Iterator[Message]:
    """Yield the messages of `path`: `text` is required; `id` defaults to the file's name and row number.

    Fields (or columns) that messages do not have are left out.
    Raises TaskError naming the row, never quoting it.
    """
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _jsonl_rows(path)
    for number, row in rows:
        known = {name: row[name] for name in FIELDS if row.get(name) not in (None, "")}
        known.setdefault("id", f"{path.stem}-{number}")
        known.setdefault("text", row.get("text"))
        try:
            yield msgspec.convert(known, Message, strict=path.suffix.lower() != ".csv")
        except msgspec.ValidationError:
            raise TaskError(
                f"{path}, row {number}: needs a `text` and, if given, valid {', '.join(FIELDS)}"
            ) from None


def message_key(message: Message) -> bytes:
    """What keeps a conversation in one partition, in order."""
    return (message.conversation_id or message.id).encode()


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_read(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise TaskError(f"{path}, row {number}: is not JSON in UTF-8") from None
        if not isinstance(row, dict):
            raise TaskError(f"{path}, row {number}: is not a JSON object")
        yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        text = _read(path).decode()
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is not UTF-8 at byte {error.start}") from None
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a text may be longer than csv's 128 KiB
    # Strict: otherwise a quote that is never closed makes one message of the rest of the file.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        if "text" not in (reader.fieldnames or ()):
            raise TaskError(f"{path}: its first line must name the columns, among them `text`")
        for number, row in enumerate(reader, start=1):
            yield number, row
    except csv.Error:
        raise TaskError(f"{path}, row {number + 1}: its quotes do not match") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(codecs.BOM_UTF8)  # spreadsheets write a byte order mark
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror}") from None
