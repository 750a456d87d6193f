"""Writes audit records as CSV or JSON lines, for whoever wants to look at them elsewhere."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from review.audit.log import Seen
from schemas.events import AuditRecord

COLUMNS: Final = (*(field.name for field in msgspec.structs.fields(AuditRecord)), "signature")
# Spreadsheets run cells that begin so. An id may come from anywhere.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_csv(records: Iterable[Seen]) -> Iterator[str]:
    """Yield the lines of a CSV file (RFC 4180) with a header. No cell begins as a formula would."""
    yield _line(COLUMNS)
    for seen in records:
        fields = msgspec.to_builtins(seen.record)
        fields["roles"] = " ".join(seen.record.roles)
        fields["signature"] = seen.fault or "valid"
        yield _line(_cell(fields.get(name)) for name in COLUMNS)


def as_json_lines(records: Iterable[Seen]) -> Iterator[str]:
    """Yield one JSON object a line: the record as it is on the topic, and its signature."""
    for seen in records:
        fields = msgspec.to_builtins(seen.record) | {"signature": seen.fault or "valid"}
        yield msgspec.json.encode(fields).decode() + "\n"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
