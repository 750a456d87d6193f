"""`mimamori doctor`: checks settings, bundle, device, broker and Redis, and says what to do."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.settings import PREFIX, Settings
from worker.settings_source import load_settings

STYLES = {"well": "green", "wrong": "bold red", "skipped": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Screen")(doctor)


def doctor(
    settings: Annotated[
        bool, typer.Option("--settings", help="List every setting with its value and meaning.")
    ] = False,
) -> None:
    """Check everything a worker needs, and say what to do about each fault. Exits with 1 if there is one.

    It checks the settings as `mimamori run` would read them: environment variables MIMAMORI_… and the YAML
    file that MIMAMORI_SETTINGS names.
    """
    from worker.telemetry.logs import configure_logs

    configure_logs("console", level=40)  # the findings say what is wrong; the log would repeat it
    loaded = load_settings()
    from mimamori.doctor import examine

    console = Console(soft_wrap=True, highlight=False)
    if settings:
        console.print(_table(loaded))
    console.print(_line("well", "settings", "no fault found"))
    wrong = 0
    for finding in examine(loaded):
        console.print(_line(finding.state, finding.check, finding.detail))
        wrong += finding.state == "wrong"
    raise typer.Exit(1 if wrong else 0)


def _line(state: str, check: str, detail: str) -> str:
    return f"[{STYLES[state]}]{state:<7}[/]  {check:<9}  {escape(detail)}"


def _table(settings: Settings) -> Table:
    table = Table("setting", "value", "meaning")
    # What every worker needs stands first; access, a schema registry and traces, which come with the classes
    # that they share, after that.
    fields = Settings.model_fields
    for name in sorted(fields, key=lambda each: each not in Settings.__annotations__):
        field, value = fields[name], getattr(settings, name)
        # Client settings are shown by name only, since one may be sasl.password. A SecretStr masks itself.
        shown = ", ".join(f"{key}=…" for key in value) if name == "kafka" else str(value)
        shown = ", ".join(sorted(map(str, value))) if isinstance(value, frozenset | tuple) else shown
        table.add_row(PREFIX + name.upper(), escape(shown), escape(field.description or ""))
    return table
