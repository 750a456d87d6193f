"""`mimamori doctor`: check settings, bundle, device, broker and Redis, and say what to do."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from worker.settings import PREFIX, Settings, load_settings

SIGNS = {"well": "[green]well[/]", "wrong": "[bold red]wrong[/]", "skipped": "[dim]skipped[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Screen")(doctor)


def doctor(
    settings: Annotated[
        bool, typer.Option("--settings", help="List every setting, its value and meaning.")
    ] = False,
) -> None:
    """Check everything a worker needs, and say what to do about each fault. Exit 1 where one is found."""
    from worker.doctor import examine
    from worker.logs import configure_logs

    configure_logs("console", level=40)  # findings say what went wrong; the log would only say it twice
    loaded = load_settings()
    console = Console(soft_wrap=True, highlight=False)
    if settings:
        console.print(_table(loaded))
    console.print(f"{SIGNS['well']:<24}  settings  no fault found")
    wrong = 0
    for finding in examine(loaded):
        console.print(f"{SIGNS[finding.state]:<24}  {finding.check:<8}  ", end="")
        console.print(finding.detail, markup=False)
        wrong += finding.state == "wrong"
    raise typer.Exit(1 if wrong else 0)


def _table(settings: Settings) -> Table:
    table = Table("setting", "value", "meaning")
    for name, field in Settings.model_fields.items():
        table.add_row(PREFIX + name.upper(), str(getattr(settings, name)), field.description or "")
    return table
