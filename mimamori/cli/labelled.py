"""Shared by the commands that read a bundle and labelled examples: their options, and how they print."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.table import Table

from engine.device_names import DeviceChoice, PrecisionChoice

R = TypeVar("R", bound=msgspec.Struct)

Folder = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]
Examples = Annotated[
    Path, typer.Option(help="JSONL, CSV, TSV or Parquet: text, at_risk, and severity where one applies.")
]
ExamplesOrNone = Annotated[
    Path | None,
    typer.Option(help="JSONL, CSV, TSV or Parquet: text, at_risk, and severity where one applies."),
]
Device = Annotated[DeviceChoice, typer.Option(help="Where to run.")]
Precision = Annotated[
    PrecisionChoice,
    typer.Option(
        help="In which precision; auto: the one that the thresholds were fitted on, if there is any."
    ),
]
Threads = Annotated[int, typer.Option(min=0, help="Threads of a CPU device; 0 is one per core.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON instead.")]


# Help on labelled files, for the commands that read them.
FILES = """
A CSV file of examples names its columns in the first line; id, language and note may stand beside:

    text,at_risk,severity

    "Nice flat, is there a cellar?",no,

    "I am abroad, wire the deposit",yes,asking

The same in JSONL:

    {"text": "Nice flat, is there a cellar?", "at_risk": false}
"""


def print_report(report: R, show: Callable[[R], None], *, as_json: bool) -> None:
    """Print a report by `show`, or as JSON."""
    if as_json:
        encoded = msgspec.json.encode(report, enc_hook=str)  # enc_hook turns a Path into a string
        typer.echo(msgspec.json.format(encoded, indent=2).decode())
    else:
        show(report)


def two_columns(name: str, value: str) -> Table:
    """A table whose first line is its header. What is too long for the terminal goes on in the next line."""
    table = Table(header_style="bold")
    table.add_column(name)
    table.add_column(value, overflow="fold")
    return table
