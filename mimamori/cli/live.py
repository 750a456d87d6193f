"""Options of the commands that read what workers and reviewers write: which task, and which topics."""

from typing import Annotated, Final

import typer

_PANEL: Final = "Topics"

Task = Annotated[str | None, typer.Option(help="Task; default: the only one that the labels are of.")]
Labels = Annotated[
    str | None, typer.Option(help="Topic of the labels; default: this prefix's.", rich_help_panel=_PANEL)
]
Cases = Annotated[
    str | None,
    typer.Option(help="Topic of the review cases; default: this prefix's.", rich_help_panel=_PANEL),
]
Decisions = Annotated[
    str | None,
    typer.Option(help="Topic of people's decisions; default: this prefix's.", rich_help_panel=_PANEL),
]
DeadLetters = Annotated[
    str | None,
    typer.Option(help="Topic of the dead letters; default: this prefix's.", rich_help_panel=_PANEL),
]
