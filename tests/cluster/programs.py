"""The programs that `make cluster-build` builds, and where they lie."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess, run

REPOSITORY = Path(__file__).parents[2]
_LONGEST_S = 600.0


class NotBuiltError(Exception):
    """A program is missing; the line says what to do."""


def tools() -> Path:
    """The folder of all of them: `bin` and `files`. Raises NotBuiltError."""
    home = Path(os.environ.get("MIMAMORI_HOME") or REPOSITORY / ".mimamori")
    folder = home / "cluster-tools"
    if not (folder / "files" / "keda").is_dir():  # the last that is made
        raise NotBuiltError("the cluster's programs are not built: run `make cluster-build` first")
    return folder


def program(name: str) -> Path:
    """One of them. Raises NotBuiltError."""
    return tools() / "bin" / name


def outside() -> dict[str, str]:
    """This process's environment without a developer's own settings and clusters."""
    dropped = ("MIMAMORI_", "KUBE", "HELM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def call(
    command: Sequence[str | Path], environment: Mapping[str, str], stdin: str = ""
) -> CompletedProcess[str]:
    """Run a program to its end. It is for the caller to look at its exit code."""
    return run(
        [str(part) for part in command],
        env={**outside(), **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
