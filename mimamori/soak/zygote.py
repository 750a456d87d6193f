"""Forks workers in milliseconds, from a process that has imported everything and opened nothing.

A killed worker is replaced at once, up to a thousand times a run, and imports alone would take a second each
time. The zygote has no Kafka client and no thread of ours when it forks. A forked worker is a process like
any other, so SIGKILL affects it in the same way.

    stdin   {"settings": {…}, "log": "path"}              a line for each worker to start
    stdout  {"pid": 7}                                     … answered by its process id
            {"pid": 7, "code": -9}                         … and, when it has ended, by its exit code

When its standard input is closed, it kills its workers and ends, so that none outlives the soak.
"""

import importlib
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from mimamori.soak.links import go_to

LOOK_EVERY_S = 0.01

Entry = Callable[[dict[str, Any]], None]


class Order(msgspec.Struct, frozen=True):
    """One worker to start: its settings, the file its output is appended to, and its host, see links.py."""

    settings: dict[str, Any]
    log: str
    host: str = ""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """A worker has started, or (with a `code`, negative for a signal) has ended."""

    pid: int
    code: int | None = None


def main(entry_name: str) -> None:
    """Serve orders until standard input is closed. `entry_name` is `module:function`."""
    module, _, function = entry_name.partition(":")
    entry: Entry = getattr(importlib.import_module(module), function)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the soak handles Ctrl-C, and then ends this process
    children: set[int] = set()
    pending = b""
    while True:
        if select.select([sys.stdin.fileno()], [], [], LOOK_EVERY_S)[0]:
            piece = os.read(sys.stdin.fileno(), 1 << 16)
            if not piece:
                break
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                order = msgspec.json.decode(line, type=Order)
                if (pid := os.fork()) == 0:
                    _become(entry, order)
                children.add(pid)
                _say(Report(pid))
        _reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _reap(children: set[int]) -> None:
    for pid in list(children):  # each by its id, since libraries may have child processes of their own
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children.discard(pid)
            _say(Report(pid, os.waitstatus_to_exitcode(status)))


def _become(entry: Entry, order: Order) -> NoReturn:
    """Run one worker in this fresh process, and end it."""
    code = 1
    try:
        with Path(order.log).open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.close(0)
        if order.host:
            go_to(order.host)
        entry(order.settings)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - the last frame of this process reports the error
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _say(report: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
