"""What the commands that read rows share: the option for a separator, and notices on standard error."""

from typing import Annotated, Literal

import typer
from rich.console import Console

SeparatorOption = Annotated[
    Literal["comma", "semicolon", "tab", "pipe"] | None,
    typer.Option(
        help="What stands between the cells of a CSV or TSV file. Default: as its first line shows."
    ),
]


def notice(what: str) -> None:
    """Say on standard error what a person should know and may be meant."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"note: {what}")
