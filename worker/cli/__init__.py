"""`mimamori …`: every command, thin. The work is done in the modules a command names.

An error Mimamori raises on purpose is one clear line on standard error and a non-zero exit; anything else
is a fault of ours, and its traceback says where.
"""

import sys
from typing import NoReturn

import typer
from rich.console import Console

from worker.cli import adapt, demo, doctor, model, replay, review, run, sandbox, topics
from worker.errors import MimamoriError

app = typer.Typer(
    name="mimamori",
    help="Screens a stream of text messages with small language models; people decide severity.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold message text
    rich_markup_mode="rich",
)
for _area in (demo, run, doctor, replay, topics, sandbox, model, adapt, review):
    _area.register(app)


def main() -> NoReturn:
    """The console script."""
    try:
        app()
    except MimamoriError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(error.exit_code)
    sys.exit(0)
