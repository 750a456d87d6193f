"""Which module holds which command: each imports its own alone, since all of them take most of a second."""

import functools
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup

# By the commands' names, in the order of `--help`.
MODULES: Final = {
    "demo": "demo",
    "run": "run",
    "serve": "serve",
    "doctor": "doctor",
    "golden": "golden",
    "replay": "replay",
    "drift": "drift",
    "miss-rate": "missing",
    "canary": "canary",
    "size": "size",
    "sandbox": "sandbox",
    "soak": "soak",
    "export": "model",
    "suggest": "suggest",
    "adapt": "adapt",
    "calibrate": "calibrate",
    "evaluate": "evaluate",
    "compare": "compare",
    "review": "review",
    "review-token": "review",
    "erase": "erase",
    "audit": "audit",
    "topics": "topics",
    "schemas": "schemas",
    "task": "task",
    "bundle": "model",
}
# The production image leaves out the tools that start servers and kill workers, and so these commands.
_SERVERS: Final = {"demo", "sandbox", "soak"} if find_spec("mimamori.sandbox") is None else set()


class Areas(TyperGroup):
    """All commands, of which each is imported when it is asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast("Any", _Commands())


class _Commands(Mapping[str, TyperCommand | TyperGroup]):
    """Commands by name. Whoever goes through them all imports them all; the names alone import nothing."""

    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        if name not in self:
            raise KeyError(name)
        return _held_by(MODULES[name])[name]

    def __contains__(self, name: object) -> bool:
        return name in MODULES and name not in _SERVERS

    def __iter__(self) -> Iterator[str]:
        return filter(self.__contains__, MODULES)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@functools.cache
def _held_by(module: str) -> Mapping[str, TyperCommand | TyperGroup]:
    """The commands that a module registers."""
    # The settings of the whole app, which each command takes from the one that it is registered with.
    held = typer.Typer(callback=nothing, pretty_exceptions_show_locals=False, rich_markup_mode="markdown")
    import_module(f"mimamori.cli.{module}").register(held)
    return cast("Mapping[str, TyperCommand | TyperGroup]", typer.main.get_group(held).commands)


def nothing() -> None:
    """Every command does its own."""
