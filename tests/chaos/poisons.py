"""A worker whose device takes the process with it, or never answers, on certain texts. The zygote runs it.

Everything but the device is the real worker. What the kernel's out-of-memory killer does cannot be had in a
test without a cgroup of its own: `eat_memory` takes some, and then sends the process the killer's own signal.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from engine.scores import Scores
from mimamori.soak import canned_worker
from mimamori.soak.canned_engine import CannedEngine


def eat_memory() -> None:
    eaten = bytearray(os.urandom(1 << 20) * 64)
    os.kill(os.getpid(), signal.SIGKILL if eaten else 0)


def hang_in_native_code() -> None:
    """As a device that never answers and holds the interpreter's lock: no thread of ours runs any more."""
    ctypes.PyDLL(None).sleep(3600)


DEADLY: dict[str, Callable[[], object]] = {
    "abort": os.abort,
    "eat": eat_memory,
    "sleep": Event().wait,
    "stall": hang_in_native_code,
}


def text_of(poison: str) -> str:
    return f"one of many good evenings: {poison}"


class PoisonedEngine(CannedEngine):
    """Does what a poison does, after some of those asked with it were read."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        for text in texts:
            _, _, word = text.partition(": ")
            if word in DEADLY:
                DEADLY[word]()
        return super().read(texts)


def run(given: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    settings = canned_worker.prepare(given)
    canned_worker.serve(canned_worker.make(settings, PoisonedEngine(levels=3)))
