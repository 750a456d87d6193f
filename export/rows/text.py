"""Reads a text file's lines, in UTF-8 or in the encoding that its byte order mark names."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from engine.errors import TaskError
from export.rows.row import MAX_CELL, refuse

# The longer marks come first, because UTF-32's begins with UTF-16's.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MAX_LINE = 2 * MAX_CELL


@contextmanager
def lines(path: Path, newline: str) -> Iterator[Iterator[str]]:
    """Open `path` and yield its lines with their ends; `newline` is that of `open` ("" is any kind).

    Raises TaskError: it cannot be read, has another encoding, or has a line that is longer than any message.
    """
    try:
        with path.open("rb") as binary:
            encoding = _encoding(path, binary)
        with path.open(encoding=encoding, newline=newline) as file:
            yield _lines(path, iter(lambda: file.readline(MAX_LINE), ""))
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _wrong_encoding(path, encoding) from None


def _lines(path: Path, found: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(found, start=1):
        if len(line) >= MAX_LINE:
            raise refuse(path, f"is longer than {MAX_LINE:,} characters, as no message is", f"line {number}")
        yield line


def _encoding(path: Path, file: BinaryIO) -> str:
    head = file.read(4)
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        raise refuse(path, "looks like UTF-16 without its byte order mark: save it as UTF-8")
    return "utf-8"


def _wrong_encoding(path: Path, encoding: str) -> TaskError:
    if encoding not in {"utf-8", "utf-8-sig"}:
        mark = encoding.upper()
        return refuse(path, f"is not in {mark}, which its byte order mark names: save it as UTF-8")
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return refuse(
                    path, "is not UTF-8: save the file as UTF-8", f"line {number}, byte {error.start + 1}"
                )
    return refuse(path, "is not UTF-8: save the file as UTF-8")
