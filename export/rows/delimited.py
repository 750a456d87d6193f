"""Reads CSV and TSV with Python's own reader in its strict mode, and refuses errors that it does not see.

Of the readers tried, it alone refuses a quote that never closes, text after a closing quote and a bare line
end inside a cell (pyarrow read the first as one long cell, polars left out what followed the second). This
module refuses what that reader lets pass: too many or too few cells, mixed line ends, and a quoted part that
a separator cuts.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from export.rows.row import MAX_CELL, Row, Separator, known_columns, plain, refuse
from export.rows.text import lines

SEPARATORS: dict[Separator, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
REMEDY = "put the cell in quotes, and write each quote inside it twice"
MIXED = "a line ends otherwise than the first one does: save the file with one kind of line end"
FAULTS = {
    "new-line character": MIXED,
    "field limit": f"a cell is longer than {MAX_CELL:,} characters, or its quote never closes",
    "end of data": "its quotes do not match: one is opened and never closed",
}


def delimited_rows(
    path: Path, fields: Mapping[str, str], others: dict[str, None], separator: Separator | None
) -> Iterator[Row]:
    """Yield each row under the header. Empty rows count but are skipped. `others` collects unknown columns.

    Raises TaskError: the separator is in doubt, a row has another number of cells than the header, …
    """
    first, end, declared = _first_line(path)
    mark = SEPARATORS[separator] if separator else declared or _sniffed(path, first, fields)
    with lines(path, end) as found:
        if declared:
            next(found)
        records = _records(path, found, mark, end, 1 + bool(declared))
        _, names = next(records, ("", []))
        columns = known_columns(path, names, fields)
        unnamed = [column for column, name in enumerate(names) if not plain(name)]
        others.update(dict.fromkeys(name for name in names if plain(name) and plain(name) not in fields))
        for number, (place, cells) in enumerate(records, start=1):
            if len(cells) != len(names):
                raise refuse(path, _wrong_count(len(cells), len(names)), place)
            if len(cells) > 1 and not any(cells):
                continue  # spreadsheets often end with such rows
            for column in unnamed:
                if cells[column]:
                    what = f"column {column + 1} has no name but is not empty"
                    raise refuse(path, f"{what}: name the column, or put the text in quotes", place)
            yield Row(place, number, {field: cells[column] for field, column in columns.items()})


def _first_line(path: Path) -> tuple[str, str, str | None]:
    """Return the header's line, the file's line end, and the separator that a line above it declares."""
    with lines(path, "") as found:
        header = next(found, "")
        if not header:
            raise refuse(path, "is empty: its first line must name the columns, as in id,text")
        end = header[len(header.rstrip("\r\n")) :] or "\n"
        declared = re.fullmatch(r'"?sep=(.)"?', header.rstrip("\r\n"), re.IGNORECASE)
        if declared is None:
            return header, end, None
        if declared[1] not in SEPARATORS.values():
            raise refuse(path, f"`sep=` names none of the separators read: {', '.join(SEPARATORS)}", "line 1")
        return next(found, ""), end, declared[1]


def _sniffed(path: Path, header: str, fields: Mapping[str, str]) -> str:
    """Return the one separator under which the header has known field names. The rows are not considered."""
    naming = []
    for mark in SEPARATORS.values():
        try:
            (names,) = csv.reader([header], delimiter=mark, strict=True)
        except (csv.Error, ValueError):
            continue
        if len(names) > 1 and any(plain(name) in fields for name in names):
            naming.append(mark)
    if len(naming) > 1:
        doubt = "more than one separator fits the first line: say which with --separator"
        raise refuse(path, f"{doubt} ({', '.join(SEPARATORS)})")
    if naming:
        return naming[0]
    return "\t" if path.suffix.lower() in {".tsv", ".tab"} else ","


def _records(
    path: Path, found: Iterator[str], mark: str, end: str, offset: int
) -> Iterator[tuple[str, list[str]]]:
    """Yield the cells of each record that is not blank, with its place. The first record is the header."""
    csv.field_size_limit(MAX_CELL)
    taken: list[str] = []

    def feed() -> Iterator[str]:
        for line in found:
            taken.append(line)
            yield line

    reader = csv.reader(feed(), delimiter=mark, strict=True)
    number = 0
    while True:
        line = reader.line_num + offset
        place = f"row {number} (line {line})" if number else "the first line"
        taken.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            what = next((said for fault, said in FAULTS.items() if fault in str(error)), None)
            raise refuse(path, what or f"its quotes do not match: {REMEDY}", place) from None
        if cells is None:
            return
        raw = "".join(taken)
        if raw[len(raw.rstrip("\r\n")) :] not in (end, ""):
            raise refuse(path, MIXED, place)
        if not cells:
            continue
        if any(_cut(cell, cells, raw) for cell in cells):
            raise refuse(path, f"a cell has a quote in its middle and none at its start: {REMEDY}", place)
        yield place, cells
        number += 1


def _cut(cell: str, cells: list[str], raw: str) -> bool:
    """Whether an unquoted cell has an odd number of quotes: a separator may have cut a quoted part in two."""
    if cell.count('"') % 2 == 0:
        return False
    quoted = '"' + cell.replace('"', '""') + '"'
    return raw.count(quoted) < cells.count(cell)


def _wrong_count(cells: int, columns: int) -> str:
    if cells > columns:
        return (
            f"{cells} cells under {columns} column{'s' * (columns > 1)}: put a text that holds the separator "
            "in quotes, or give another separator with --separator"
        )
    found = f"{cells} cell{'s' * (cells > 1)} under {columns} columns"
    return f"{found}: give every column its cell, if an empty one"
