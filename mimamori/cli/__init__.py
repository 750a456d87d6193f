"""The command line `mimamori …`. Each command is thin: the modules that it imports do the work.

A command imports its own modules alone (`areas.py`).

An error that Mimamori raises on purpose is printed as one line on standard error, and the exit code is not 0.
Any other exception is a fault of ours: its type and traceback are printed, but not its message, which could
quote someone's text.
"""

import errno
import io
import logging
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from engine.errors import MimamoriError
from mimamori.cli.areas import Areas
from worker.telemetry.logs import configure_logs

_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def _say_version(*, asked: bool) -> None:
    if asked:
        Console(highlight=False).print(f"mimamori {version('mimamori')}")
        raise typer.Exit


def _all(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say which release this is."),
    ] = False,
) -> None:
    """Every command does its own."""


app = typer.Typer(
    name="mimamori",
    help="Screens a stream of text messages with small language models; people decide severity.",
    cls=Areas,
    callback=_all,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # local variables hold message text
    rich_markup_mode="markdown",  # joins the lines of a paragraph
)


def main() -> NoReturn:
    """The console script."""
    _write_whole()
    configure_logs("console", logging.WARNING)  # on standard error; `run` and `review` configure their own
    try:
        app()
    except MimamoriError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - anything unexpected is printed here, without its message
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            what = error.filename or "a file, standard output or TMPDIR"
            _say(f"cannot write {what}: {error.strerror}; make room, and start the command again")
            sys.exit(1)
        sys.stderr.write("".join(traceback.format_tb(error.__traceback__)))
        _say(f"{type(error).__name__}, which should not happen: please report it with the lines above")
        sys.exit(1)
    sys.exit(0)


def _write_whole() -> None:
    """Have standard output written whole, or fail.

    With PYTHONUNBUFFERED, as in the image, Python loses in silence what a full disk does not take.
    """
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        written, errors = io.BufferedWriter(raw), getattr(sys.stdout, "errors", None)
        sys.stdout = io.TextIOWrapper(written, sys.stdout.encoding, errors, line_buffering=True)


def _say(what: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {escape(what)}")
