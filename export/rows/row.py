"""A row of a file, and how column names are matched to fields."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engine.errors import TaskError

Separator = Literal["comma", "semicolon", "tab", "pipe"]

# Kafka takes no record above 2 MiB here, and a quote that never closes must not fill the memory.
MAX_CELL = 1 << 24


class NoTextColumnError(TaskError):
    """No column of a file has the name of the texts' column."""


class Row(NamedTuple):
    """One row: its place in the file, the number that its id is made from, and its values by field."""

    place: str
    number: int
    values: dict[str, Any]


def refuse(path: Path, what: str, place: str = "") -> TaskError:
    """Return the error for a file, at a place in it."""
    return TaskError(f"{path}, {place}: {what}" if place else f"{path}: {what}")


def plain(name: str) -> str:
    """Return a column's name in the form that is compared: `Text ` becomes `text`."""
    return name.strip().strip("\ufeff").casefold()


def named(fields: Iterable[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Map the plain name of each field's column to the field. `columns` names those with another name."""
    own = {field: field for field in fields if field not in columns}
    return own | {plain(column): field for field, column in columns.items()}


def known_columns(path: Path, names: Iterable[str], fields: Mapping[str, str]) -> dict[str, int]:
    """Map each field to the number of its column, counted from 0. `fields` is as `named` gives it.

    Raises NoTextColumnError: no column holds the text. TaskError: two columns have the name of one field.
    """
    found: dict[str, int] = {}
    for number, name in enumerate(names):
        field = fields.get(plain(name))
        if field is None:
            continue
        if field in found:
            raise refuse(
                path,
                f"columns {found[field] + 1} and {number + 1} are both named `{plain(name)}`: "
                "keep one, or rename the other",
            )
        found[field] = number
    if "text" not in found:
        text = next(column for column, field in fields.items() if field == "text")
        raise NoTextColumnError(
            f"{path}: no column is named `{text}`: name the columns in the first line, as in id,text"
        )
    return found
