"""Labelled examples: a file of texts, each with whether its writer is at risk, and how severely."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from engine.task import SHIPPED, Task
from export.rows import Row, Separator, Tell, read_rows, typed_rows


class LabelledExample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a labelled file. `severity` is a level's name, or null where none applies."""

    text: str
    at_risk: bool
    id: str | None = None
    severity: str | None = None
    language: str | None = None
    note: str | None = None


class ExampleRows(list[LabelledExample]):
    """The examples of a file, with the place of each: "row 3". A part or a copy of it has no places."""

    def __init__(self, path: Path, examples: Iterable[LabelledExample], places: Sequence[str]) -> None:
        """`places` has as many entries as there are examples."""
        super().__init__(examples)
        self.path = path
        self.places = tuple(places)


def shipped_examples(task: Task) -> Path:
    """The path of a shipped task's labelled examples."""
    return SHIPPED / f"{task.name}.examples.jsonl"


def read_examples(
    path: Path, task: Task, separator: Separator | None = None, tell: Tell = lambda _: None
) -> ExampleRows:
    """Read a labelled JSONL, CSV, TSV or Parquet file, and check every row against the task.

    Raises TaskError naming row, field and remedy (never a text), also for a column that examples do not have.
    """
    levels = task.level_names
    places: list[str] = []

    def check(example: LabelledExample) -> str | None:
        fits = example.severity is None or example.severity in levels
        return None if fits else f"`severity` must be empty (in JSON: null) or one of {', '.join(levels)}"

    def placed(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            places.append(row.place)
            yield row

    fields = tuple(field.name for field in msgspec.structs.fields(LabelledExample))
    rows = placed(read_rows(path, fields, separator, tell, closed=True))
    examples = list(typed_rows(path, rows, LabelledExample, check=check))
    return ExampleRows(path, examples, places)
