"""`mimamori …`: every command, thin. The work is done in the modules a command names.

An error Mimamori raises on purpose is one clear line on standard error and a non-zero exit; anything else
is a fault of ours: its kind and the lines it came through are shown, its message is not, since that could
quote someone's text.
"""

import logging
import sys
import traceback
from importlib.util import find_spec
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from engine.errors import MimamoriError
from mimamori.cli import adapt, demo, doctor, model, replay, review, run, sandbox, size, soak, task, topics
from worker.telemetry.logs import configure_logs

app = typer.Typer(
    name="mimamori",
    help="Screens a stream of text messages with small language models; people decide severity.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold message text
    rich_markup_mode="rich",
)
for _area in (demo, run, doctor, replay, size, topics, sandbox, soak, task, model, adapt, review):
    # The production image has the commands without the tools that start servers and kill workers.
    if _area not in {demo, sandbox, soak} or find_spec("mimamori.sandbox"):
        _area.register(app)


def main() -> NoReturn:
    """The console script."""
    configure_logs("console", logging.WARNING)  # to standard error; `run` and `review` set up their own
    try:
        app()
    except MimamoriError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - not one of ours: whatever prints it must leave out its message
        sys.stderr.write("".join(traceback.format_tb(error.__traceback__)))
        _say(f"{type(error).__name__}, which should not happen: please report it with the lines above")
        sys.exit(1)
    sys.exit(0)


def _say(what: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {escape(what)}")
