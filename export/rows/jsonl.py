"""JSON Lines: one object per line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from export.rows.row import Row, plain, refuse
from export.rows.text import lines


def jsonl_rows(path: Path, fields: tuple[str, ...], others: dict[str, None]) -> Iterator[Row]:
    """Yield each row; blank lines count and are skipped. `others` collects the names that are no field."""
    with lines(path, "\n") as found:
        for number, line in enumerate(found, start=1):
            if not line.strip():
                continue
            place = f"row {number}"
            values: dict[str, Any] = {}
            for name, value in _pairs(path, line, place):
                field = plain(name)
                if field not in fields:
                    others[name] = None
                elif field in values:
                    raise refuse(path, f"`{field}` stands twice: keep one, or rename the other", place)
                else:
                    values[field] = value
            yield Row(place, number, values)


def _pairs(path: Path, line: str, place: str) -> list[tuple[str, Any]]:
    """Return the object's names and values in order: a name given twice is there twice."""
    try:
        # msgspec is the strict one (no NaN, no half an emoji); json tells of a name that stands twice.
        if not isinstance(msgspec.json.decode(line), dict):
            raise refuse(path, "is not a JSON object: write one object per line", place)
        pairs: list[tuple[str, Any]] = json.loads(line, object_pairs_hook=list)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise refuse(path, "is not JSON: write one whole object per line", place) from None
    return pairs
