"""Shared by the commands that read rows: the option for a separator, and notices on standard error."""

from typing import Annotated, Literal

import typer
from rich.console import Console

SeparatorOption = Annotated[
    Literal["comma", "semicolon", "tab", "pipe"] | None,
    typer.Option(
        help="What separates the cells of a CSV or TSV file. Default: detected from its first line."
    ),
]


def notice(what: str) -> None:
    """Print on standard error what may be intended, but a person should know."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"note: {what}")
