"""Makes `commands.md`: every command with its options, taken from the command line's own definitions."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Final

import typer
from rich.text import Text
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from docs.reference.markdown import code, table
from mimamori.cli import app

KINDS: Final = {"str": "text", "int": "whole number", "float": "number"}

INTRODUCTION: Final = """# Commands

Each command prints this text with `--help`. A command that fails writes one line to standard error, which
says what is wrong, where, and what to do; [Errors](errors.md) lists the exit codes.
"""


def page() -> str:
    """Return the page."""
    root = typer.main.get_command(app)
    return "\n".join([INTRODUCTION, *(part for found in commands(root) for part in _command(*found))])


def commands(command: object, path: tuple[str, ...] = ("mimamori",)) -> Iterator[tuple[str, TyperCommand]]:
    """Yield every command that is not a group, with its name as typed, in the order of `--help`."""
    if isinstance(command, TyperGroup):
        for name, sub in command.commands.items():
            yield from commands(sub, (*path, name))
    elif isinstance(command, TyperCommand) and not command.hidden:
        yield " ".join(path), command


def options(command: TyperCommand) -> Iterator[TyperArgument | TyperOption]:
    """Yield a command's arguments and options, except --help."""
    for parameter in command.get_params(typer.Context(command)):
        if (
            isinstance(parameter, TyperArgument | TyperOption)
            and parameter.name != "help"
            and not parameter.hidden
        ):
            yield parameter


def _command(path: str, command: TyperCommand) -> list[str]:
    context = typer.Context(command)
    takes = list(options(command))
    needed = [
        _name(one) if isinstance(one, TyperArgument) else f"{one.opts[0]} …" for one in takes if one.required
    ]
    optional = ["[options]"] if any(not one.required for one in takes) else []
    lines = [
        f"## `{path}`\n",
        f"{_plain(command.help)}\n",
        f"```text\n{' '.join([path, *needed, *optional])}\n```\n",
    ]
    return (
        [*lines, table(["name", "takes", "default", "meaning"], (_row(one, context) for one in takes))]
        if takes
        else lines
    )


def _row(parameter: TyperArgument | TyperOption, context: typer.Context) -> list[str]:
    if isinstance(parameter, TyperOption) and parameter.is_flag:
        kind = "nothing"
    else:
        many = " (any number)" if parameter.nargs == -1 or getattr(parameter, "multiple", False) else ""
        kind = parameter.display_type(context).strip("<>").removesuffix(" range")
        kind = KINDS.get(kind, kind.replace("|", ", ")) + many
    default = parameter.default
    unset = default is None or callable(default) or default is False
    shown = "required" if parameter.required else "-" if unset else code(_value(default))
    return [code(_name(parameter)), kind, shown, _plain(parameter.help)]


def _name(parameter: TyperArgument | TyperOption) -> str:
    if isinstance(parameter, TyperArgument):
        return parameter.display_name_raw.upper()
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _value(value: object) -> object:
    """Return a value as it is typed on the command line."""
    return (
        value.value if isinstance(value, Enum) else str(value).lower() if isinstance(value, bool) else value
    )


def _plain(text: str | None) -> str:
    """Return a help text without the markup that colours it on a terminal."""
    return Text.from_markup(inspect.cleandoc(text or "")).plain
