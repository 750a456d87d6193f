"""How much else runs on the machine: a process that sleeps, and notes how late it wakes.

What wakes late here would have kept a worker waiting as well, and no simulation of the worker can know it.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Final

import msgspec

ASLEEP_S: Final = 0.005


class Disturbed(msgspec.Struct, frozen=True):
    """How much too late it woke, in ms, and how many processes wanted to run at the end."""

    p50_ms: float
    p99_ms: float
    most_ms: float
    load: float


def _sleep(pipe: Connection) -> None:
    late = []
    while not pipe.poll():
        began = time.perf_counter()
        time.sleep(ASLEEP_S)
        late.append(time.perf_counter() - began - ASLEEP_S)
    pipe.send(sorted(late))


@contextmanager
def disturbance() -> Iterator[Callable[[], Disturbed]]:
    """Measure while the block runs; ask afterwards."""
    here, there = multiprocessing.Pipe()
    sleeper = multiprocessing.get_context("spawn").Process(target=_sleep, args=(there,), daemon=True)
    sleeper.start()
    late: list[float] = []

    def found() -> Disturbed:
        p50, p99, most = (1000 * late[int(share * (len(late) - 1))] for share in (0.5, 0.99, 1.0))
        return Disturbed(p50, p99, most, os.getloadavg()[0])

    try:
        yield found
    finally:
        here.send(None)
        late += here.recv()
        sleeper.join()
