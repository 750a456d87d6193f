"""Ends the process when a call of the model takes many times as long as it should.

Python cannot end a call into a device library that does not return, but it can end the process. The
supervisor then starts another process, which finds the note of what was in hand (`in_hand.py`), and counts
this like any other death.

A thread checks every TICK_S seconds. It counts its checks instead of reading the clock, since a process that
was stopped, or a machine that was asleep, has not waited. A library that hangs while it holds the
interpreter's lock stops that thread too. Then the interpreter's own watchdog (faulthandler), which needs no
lock, prints where every thread is and ends the process.
"""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from worker.stream.batch import Batch
from worker.stream.in_hand import held_of
from worker.stream.pace import Pace

log = structlog.get_logger()

TICK_S = 0.25
EXIT_CODE = 70  # EX_SOFTWARE
LOCKED_OUT = 2  # times the limit, so that ours, with its clear line in the log, comes first
_STDERR = 2
_REMEDY = (
    "this process ends, to be started again: the records are read again, and alone where that happens twice; "
    "look at the device, and raise MIMAMORI_WATCHDOG_FLOOR_S if it is only slow"
)


@dataclass
class _Call:
    batch: Batch
    thread: int
    limit_s: float
    waited_s: float = 0.0


class Watchdog:
    """Watches one call at a time. `floor_s` and `factor` are described in the settings `watchdog_…`."""

    def __init__(
        self,
        floor_s: float,
        factor: float,
        pace: Pace,
        end: Callable[[int], object] = os._exit,
        remedy: str = _REMEDY,
    ) -> None:
        """`remedy` is what the log says that happens next, and what to do."""
        self._floor_s = floor_s
        self._factor = factor
        self._pace = pace
        self._end = end
        self._remedy = remedy
        self._call: _Call | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start checking."""
        self._thread.start()

    def close(self) -> None:
        """Stop checking."""
        self._closed.set()

    def limit_s(self, tokens: int) -> float:
        """How long a call with `tokens` to read may take."""
        expected = self._pace.seconds_for(tokens)
        return self._floor_s if expected is None else max(self._floor_s, self._factor * expected)

    @contextmanager
    def watching(self, batch: Batch) -> Iterator[None]:
        """Watch one call on this batch, during a block."""
        limit = self.limit_s(batch.estimated_tokens)
        self._call = _Call(batch, threading.get_ident(), limit)
        faulthandler.dump_traceback_later(LOCKED_OUT * limit, exit=True, file=_STDERR)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._call = None

    def _look(self) -> None:
        while not self._closed.wait(TICK_S):
            call = self._call
            if call is None:
                continue
            call.waited_s += TICK_S
            if call.waited_s >= call.limit_s and call is self._call:
                _tell(call, self._remedy)
                self._call = None
                self._end(EXIT_CODE)


def _tell(call: _Call, remedy: str) -> None:
    frame = sys._current_frames().get(call.thread)  # noqa: SLF001 - documented, and the only way
    log.critical(
        "model_never_answered",
        waited_s=round(call.waited_s),
        estimated_tokens=call.batch.estimated_tokens,
        in_hand=[
            f"{topic}/{partition} {held.first}-{held.last}"
            for (topic, partition), held in sorted(held_of(call.batch).items())
        ],
        at=f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "unknown",
        remedy=remedy,
    )
