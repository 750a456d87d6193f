"""A labelled file to measure on: anybody's columns, of which some are told to be text, label and severity."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.errors import TaskError
from engine.task import Task
from export.checking import normal
from export.examples import LabelledExample
from export.rows import NoTextColumnError, Row, Separator, read_rows, refuse, typed_rows

_FIELDS: Final = ("text", "at_risk", "severity", "language")
_LABELS: Final = "--label-column"
_NAME_TEXTS: Final = "say which column holds the texts with --text-column"


class Columns(NamedTuple):
    """Which columns to read: for a field the name of its column, which of them to slice by, what labels mean.

    Where `at_risk` and `clear` are given, a label is one of their values; otherwise it is true or false.
    `severity` of a file that has it in other words can be left out.
    """

    named: Mapping[str, str] = {}
    slices: Sequence[str] = ()
    at_risk: Sequence[str] = ()
    clear: Sequence[str] = ()
    severity: bool = True


class Labelled(NamedTuple):
    """Examples, each one's place in the file ("row 3"), and the values of the columns to slice by."""

    path: Path
    examples: list[LabelledExample]
    places: list[str]
    slices: dict[str, list[str | None]]

    def only(self, kept: Sequence[int]) -> "Labelled":
        """These examples alone."""
        slices = {name: [values[index] for index in kept] for name, values in self.slices.items()}
        return self._replace(
            examples=[self.examples[index] for index in kept],
            places=[self.places[index] for index in kept],
            slices=slices,
        )


def read_labelled(
    path: Path, task: Task, columns: Columns | None = None, separator: Separator | None = None
) -> Labelled:
    """Read a labelled JSONL, CSV, TSV or Parquet file. Columns that were not asked for are left out.

    Raises TaskError naming row, column and remedy, never a text: a column is missing, a label or level is
    unknown, a text is empty, or the file has no rows.
    """
    columns = columns or Columns()
    fields = tuple(name for name in _FIELDS if columns.severity or name != "severity")
    _require_sense(columns, fields)
    asked = {f"slice {name}": name for name in columns.slices}
    named = dict(columns.named) | asked
    places: list[str] = []
    slices: dict[str, list[str | None]] = {name: [] for name in columns.slices}

    def taken(rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            values = dict(row.values)
            if "text" not in values:
                raise refuse(path, f"`{named.get('text', 'text')}` is missing: {_NAME_TEXTS}", row.place)
            for key, name in asked.items():
                slices[name].append(_shown(values.pop(key, None)))
            places.append(row.place)
            values["at_risk"] = _label(path, values.get("at_risk"), columns, row.place)
            yield row._replace(values=values)

    levels = task.level_names

    def check(example: LabelledExample) -> str | None:
        if example.severity is None or example.severity in levels:
            return None
        column = named.get("severity", "severity")
        return (
            f"`{column}` must be empty or one of the task's levels ({', '.join(levels)}); "
            "to measure without it give --severity-column -"
        )

    rows = taken(read_rows(path, (*fields, *asked), separator, columns=named))
    try:
        examples = list(typed_rows(path, rows, LabelledExample, check=check))
    except NoTextColumnError as error:
        raise TaskError(f"{error}, or {_NAME_TEXTS}") from None
    if not examples:
        raise TaskError(f"{path}: no labelled examples to evaluate on: give a file with at least one row")
    if empty := [name for name, values in slices.items() if not any(values)]:
        raise TaskError(f"{path}: no row has anything in a column `{empty[0]}`: check --slice")
    return Labelled(path, examples, places, slices)


def apart(test: Labelled, train: Labelled) -> tuple[Labelled, list[str]]:
    """`test` without what is in `train` too (case, spaces and disguise aside), and a note on what it lost.

    Raises TaskError: nothing is left.
    """
    known = {normal(example.text) for example in train.examples}
    kept = [index for index, example in enumerate(test.examples) if normal(example.text) not in known]
    if not kept:
        raise TaskError(f"every text of {test.path} is in {train.path} too: test on other examples")
    lost = len(test.examples) - len(kept)
    if not lost:
        return test, []
    staying = set(kept)
    first = next(place for index, place in enumerate(test.places) if index not in staying)
    both = f"{lost} rows of {test.path.name} are in {train.path.name} too"
    return test.only(kept), [f"{both}, the first is {first}: they were left out"]


def notes_on(labelled: Labelled) -> list[str]:
    """What a reader must know of a file: words that stand in several rows, and with both labels."""
    first: dict[str, tuple[bool, str]] = {}
    again: list[str] = []
    against: list[str] = []
    for example, place in zip(labelled.examples, labelled.places, strict=True):
        label, earlier = first.setdefault(normal(example.text), (example.at_risk, place))
        if earlier != place:
            (again if label == example.at_risk else against).append(f"{earlier} and {place}")
    notes = []
    if again:
        notes.append(
            f"{len(again)} rows of {labelled.path.name} repeat an earlier text, first {again[0]}: each "
            "counts, and intervals are too narrow"
        )
    if against:
        notes.append(
            f"{len(against)} rows of {labelled.path.name} repeat an earlier text with the other label, first "
            f"{against[0]}: one of each pair is wrong"
        )
    return notes


def _require_sense(columns: Columns, fields: Sequence[str]) -> None:
    if bool(columns.at_risk) != bool(columns.clear):
        raise TaskError("--at-risk and --not-at-risk belong together: say which labels mean what")
    read = [columns.named.get(field, field).strip().casefold() for field in fields]
    for name in columns.slices:
        if name.strip().casefold() in read:
            raise TaskError(
                f"--slice {name}: it is read already: the report slices by language and length in any case"
            )
    if twice := next((name for name in read if read.count(name) > 1), None):
        raise TaskError(f"two of --text-column, --label-column and --severity-column name `{twice}`")


def _label(path: Path, given: Any, columns: Columns, place: str) -> Any:
    """A label as typed_rows reads it."""
    column = columns.named.get("at_risk", "at_risk")
    if given in (None, ""):
        raise refuse(
            path,
            f"`{column}` is missing or empty: label the row, or name the column with {_LABELS}",
            place,
        )
    if isinstance(given, float) and given.is_integer():
        given = int(given)  # a column of whole numbers with gaps is often stored so
    if not columns.at_risk:
        truth = str(given).strip().casefold()
        if truth in {"true", "yes", "1", "false", "no", "0"}:
            return truth
        remedy = "say which labels mean what with --at-risk and --not-at-risk"
        raise refuse(path, f"`{column}` is neither true nor false: {remedy}", place)
    said = str(given).strip().casefold()
    if said in {value.strip().casefold() for value in columns.at_risk}:
        return True
    if said in {value.strip().casefold() for value in columns.clear}:
        return False
    raise refuse(path, f"`{column}` is none of the labels given by --at-risk and --not-at-risk", place)


def _shown(value: Any) -> str | None:
    if value in (None, ""):
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
