"""Labelled examples: a file of texts, each with whether its writer is at risk, and how severely."""

from pathlib import Path

import msgspec

from engine.task import SHIPPED, Task
from export.rows import Separator, Tell, read_rows, typed_rows


class LabelledExample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a labelled file. `severity` is a level's name, or null where none applies."""

    text: str
    at_risk: bool
    id: str | None = None
    severity: str | None = None
    language: str | None = None
    note: str | None = None


def shipped_examples(task: Task) -> Path:
    """The path of a shipped task's labelled examples."""
    return SHIPPED / f"{task.name}.examples.jsonl"


def read_examples(
    path: Path, task: Task, separator: Separator | None = None, tell: Tell = lambda _: None
) -> list[LabelledExample]:
    """Read a labelled JSONL, CSV, TSV or Parquet file, and check every row against the task.

    Raises TaskError naming row, field and remedy (never a text), also for a column that examples do not have.
    """
    levels = task.level_names

    def check(example: LabelledExample) -> str | None:
        fits = example.severity is None or example.severity in levels
        return None if fits else f"`severity` must be empty (in JSON: null) or one of {', '.join(levels)}"

    fields = tuple(field.name for field in msgspec.structs.fields(LabelledExample))
    rows = read_rows(path, fields, separator, tell, closed=True)
    return list(typed_rows(path, rows, LabelledExample, check=check))
