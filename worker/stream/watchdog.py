"""Ends a call of the model that takes many times as long as it should, and the process with it.

Nothing in Python can end a call into a device library that does not return. The process can be ended: its
supervisor starts another one, which finds what was in hand (`in_hand.py`) and counts this as any other death.

A thread looks every TICK_S and counts its own looks, not the clock: a process that was stopped, or a machine
that was asleep, has not waited. A library that hangs with the interpreter's lock stops that thread too; then
the interpreter's own watchdog, which needs no lock, says where every thread is and ends the process.
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
LOCKED_OUT = 2  # times the limit: the interpreter's watchdog leaves the clear line to ours
_STDERR = 2


@dataclass
class _Call:
    batch: Batch
    thread: int
    limit_s: float
    waited_s: float = 0.0


class Watchdog:
    """Watches one call at a time. `floor_s` and `factor`: see the settings of these names."""

    def __init__(
        self, floor_s: float, factor: float, pace: Pace, end: Callable[[int], object] = os._exit
    ) -> None:
        self._floor_s = floor_s
        self._factor = factor
        self._pace = pace
        self._end = end
        self._call: _Call | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def limit_s(self, tokens: int) -> float:
        """How long a call on so many tokens may take."""
        expected = self._pace.seconds_for(tokens)
        return self._floor_s if expected is None else max(self._floor_s, self._factor * expected)

    @contextmanager
    def watching(self, batch: Batch) -> Iterator[None]:
        """For the length of one call on this batch."""
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
                _tell(call)
                self._call = None
                self._end(EXIT_CODE)


def _tell(call: _Call) -> None:
    frame = sys._current_frames().get(call.thread)  # noqa: SLF001 - documented, and the only way to ask
    log.critical(
        "model_never_answered",
        waited_s=round(call.waited_s),
        estimated_tokens=call.batch.estimated_tokens,
        in_hand=[
            f"{topic}/{partition} {held.first}-{held.last}"
            for (topic, partition), held in sorted(held_of(call.batch).items())
        ],
        at=f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "unknown",
        remedy="this process ends, to be started again: the records are read again, and alone where that "
        "happens twice; look at the device, and raise MIMAMORI_WATCHDOG_FLOOR_S if it is only slow",
    )
