"""Chooses the reader by a file's name, and tells people what they should know besides the rows."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from engine.errors import TaskError
from export.rows.delimited import delimited_rows
from export.rows.jsonl import jsonl_rows
from export.rows.parquet import parquet_rows
from export.rows.row import Row, Separator, named, refuse

Tell = Callable[[str], None]

JSONL = {".jsonl", ".ndjson", ".json"}
DELIMITED = {".csv", ".tsv", ".tab"}
PARQUET = {".parquet", ".pq"}
# These formats are recognised by their first bytes, whatever the file's name.
PACKED = {
    b"\x1f\x8b": "is compressed: unpack it first (gunzip)",
    b"\x28\xb5\x2f\xfd": "is compressed: unpack it first (unzstd)",
    b"PK\x03\x04": "is a spreadsheet or a zip archive: save it as CSV in UTF-8",
}
SHOWN_NAMES = 10
SHOWN_CHARACTERS = 40


def read_rows(
    path: Path,
    fields: tuple[str, ...],
    separator: Separator | None = None,
    tell: Tell = lambda _: None,
    *,
    closed: bool = False,
    columns: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Row]:
    """Yield the rows of a JSONL, CSV, TSV or Parquet file: `text` and the other `fields`, one row at a time.

    Names are compared without case. `columns` names the column of a field whose name is another. `tell` gets
    one line about columns that were left out, and one about repeated ids. With `closed`, a name that is not a
    field is an error.

    Raises TaskError naming row, column and remedy, and SettingsError where Parquet's extra is missing.
    """
    _check(path)
    others: dict[str, None] = {}
    seen: dict[int, str] = {}
    repeated = ""
    repetitions = 0
    for row in _rows(path, named(fields, columns), others, separator):
        if closed and others:
            known = ", ".join(fields)
            raise refuse(
                path, f"{_named(others)}: not a field ({known}); rename it or leave it out", row.place
            )
        if (given := row.values.get("id")) not in (None, ""):
            # Only the hash is kept, so that a million ids of any length fit into memory.
            earlier = seen.setdefault(hash(str(given)), row.place)
            if earlier != row.place:
                repetitions += 1
                repeated = repeated or f"{earlier} and {row.place}"
        yield row
    if others:
        tell(f"{path}: left out: {_named(others)}")
    if repetitions:
        tell(f"{path}: {repetitions} ids are repeated, first in {repeated}: each row counts separately")


def _rows(
    path: Path, fields: Mapping[str, str], others: dict[str, None], separator: Separator | None
) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if separator and suffix not in DELIMITED:
        raise refuse(path, "--separator is for .csv and .tsv files")
    if suffix in DELIMITED:
        return delimited_rows(path, fields, others, separator)
    if suffix in PARQUET:
        return parquet_rows(path, fields, others)
    if suffix in JSONL:
        return jsonl_rows(path, fields, others)
    raise refuse(path, "its name does not tell its format: name it .jsonl, .csv, .tsv or .parquet")


def _check(path: Path) -> None:
    """Refuse a file that cannot be read twice, or that has another format than its name says."""
    try:
        if not path.is_file():
            path.stat()
            what = "it is a folder" if path.is_dir() else "it is not a file: save what it holds in one first"
            raise TaskError(f"cannot read {path}: {what}")
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror}") from None
    for mark, what in PACKED.items():
        if head.startswith(mark):
            raise refuse(path, what)
    if head == b"PAR1" and path.suffix.lower() not in PARQUET:
        raise refuse(path, "holds Parquet: name it .parquet")


def _named(others: dict[str, None]) -> str:
    """Name columns. Long or unprintable names may be somebody's words, so they are only counted."""
    short = [name.strip() for name in others if len(name) <= SHOWN_CHARACTERS and name.isprintable()]
    shown = [f"`{name}`" for name in short[:SHOWN_NAMES]]
    if more := len(others) - len(shown):
        shown.append(f"{more} more" if shown else f"{more} with long names")
    return ", ".join(shown)
