"""Starts a worker, a review desk or an HTTP front as a process, for the demo, the soak, benchmarks and tests.

The new process does not inherit this process's settings (`MIMAMORI_…`), so that it runs under the settings it
is given and no others. It does inherit `MIMAMORI_HOME`, where caches are kept.
"""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import FatalError

WORKER: Final = ("mimamori", "run")
DESK: Final = ("mimamori", "review")
FRONT: Final = ("mimamori", "serve")

_PREFIX: Final = "MIMAMORI_"
_LOOK_EVERY_S: Final = 0.05


def start(
    program: Sequence[str],
    settings: Mapping[str, object],
    log: Path,
    *,
    beside: Mapping[str, str] | None = None,
    output: Path | None = None,
    own_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `python -m` with `program`, which is a module and its arguments.

    Args:
        program: WORKER, DESK, FRONT, or another module that reads the same settings.
        settings: The settings by name: those of the worker or, for DESK, of the review desk.
        log: The process's output is appended to this file.
        beside: Further environment variables.
        output: The file that standard output is appended to, instead of `log`.
        own_session: Keep Ctrl-C from reaching the process, so that its starter can end it in order.
    """
    prefix = f"{_PREFIX}REVIEW_" if program == DESK else _PREFIX
    environment = outside() | as_environment(settings, prefix) | dict(beside or {})
    with log.open("ab") as errors, (output or log).open("ab") as printed:
        return subprocess.Popen(  # noqa: S603 - this interpreter, our own modules
            [sys.executable, "-m", *program],
            env=environment,
            stdout=printed,
            stderr=errors,
            start_new_session=own_session,
        )


def await_ready(process: subprocess.Popen[bytes], port: int, log: Path, within_s: float) -> None:
    """Return once /readyz at its health port says that it is ready.

    Raises FatalError: it has ended, or the time is over.
    """
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise FatalError(f"{_name(process)} did not start, its log says why: {log}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return
        except OSError:  # Nothing listens yet, or the answer is 503.
            time.sleep(_LOOK_EVERY_S)
    raise FatalError(f"{_name(process)} was not ready after {within_s:.0f} s, see its log: {log}")


def end(process: subprocess.Popen[bytes], within_s: float) -> int:
    """Send SIGTERM, and SIGKILL after `within_s` seconds. Returns the exit code (negative: a signal)."""
    process.terminate()
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def outside() -> dict[str, str]:
    """Return this process's environment without its settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIX) or name == "MIMAMORI_HOME"
    }


def as_environment(settings: Mapping[str, object], prefix: str = _PREFIX) -> dict[str, str]:
    """Return settings as environment variables. Values that are neither text nor path are given as JSON."""
    return {
        f"{prefix}{name.upper()}": str(value)
        if isinstance(value, str | Path)
        else msgspec.json.encode(value).decode()
        for name, value in settings.items()
    }


def _name(process: subprocess.Popen[bytes]) -> str:
    command = process.args
    what = command[-1] if isinstance(command, list) else ""
    return {DESK[-1]: "the review desk", FRONT[-1]: "the HTTP front"}.get(str(what), "the worker")
