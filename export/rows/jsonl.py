"""JSON Lines: one object per line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from export.rows.row import Row, plain, refuse
from export.rows.text import lines


def jsonl_rows(path: Path, fields: Mapping[str, str], others: dict[str, None]) -> Iterator[Row]:
    """Yield each row. Blank lines count but are skipped. `others` collects the names that are not fields."""
    with lines(path, "\n") as found:
        for number, line in enumerate(found, start=1):
            if not line.strip():
                continue
            place = f"row {number}"
            values: dict[str, Any] = {}
            for name, value in _pairs(path, line, place):
                field = fields.get(plain(name))
                if field is None:
                    others[name] = None
                elif field in values:
                    raise refuse(
                        path, f"`{plain(name)}` is given twice: keep one, or rename the other", place
                    )
                else:
                    values[field] = value
            yield Row(place, number, values)


def _pairs(path: Path, line: str, place: str) -> list[tuple[str, Any]]:
    """Return the object's names and values in order. A repeated name is in the list twice."""
    try:
        # msgspec is strict (no NaN, no lone surrogate), but only json shows a name that is given twice.
        if not isinstance(msgspec.json.decode(line), dict):
            raise refuse(path, "is not a JSON object: write one object per line", place)
        pairs: list[tuple[str, Any]] = json.loads(line, object_pairs_hook=list)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise refuse(path, "is not JSON: write one whole object per line", place) from None
    return pairs
