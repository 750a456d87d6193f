"""Runs the workers of a soak, by slot: starts, kills, stops and replaces them, and restarts those that end.

    slot 0 … W-1   always has a worker: one that ends, for whatever reason, is replaced at once
    storm          further workers that join and leave

It does what a cluster's scheduler does, and does not look at what the workers do.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from engine.errors import FatalError
from mimamori.soak.launch import Launcher

END_S = 40.0  # how long the workers may drain at the end
CRASH_PAUSE_S = 0.5  # wait before a worker that ended by itself is started again

_CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 0}

SettingsOf = Callable[[str], dict[str, Any]]
HostOf = Callable[[str], str]


class Fleet:
    """Workers by slot. `settings_of` gives the settings of a slot's worker, `host_of` the host it is on.

    A context manager.
    """

    def __init__(
        self,
        launcher: Launcher,
        settings_of: SettingsOf,
        slots: int,
        folder: Path,
        host_of: HostOf = lambda _: "",
    ) -> None:
        self._launcher = launcher
        self._settings_of = settings_of
        self._host_of = host_of
        self._folder = folder
        self._current: dict[str, int] = {}  # slot -> the process that holds it
        self._slot_of: dict[int, str] = {}  # every process that runs -> its slot
        self._wanted = {str(number) for number in range(slots)}
        self._due: dict[str, float] = {}  # slot -> when to start it again
        self._asked: dict[int, int] = {}  # process -> the exit code that the signal sent to it must give
        self.exits: Counter[str] = Counter()  # unexpected exit code -> number of processes

    def start(self, slot: str) -> int:
        """Start a worker for the slot, even where another one still holds it."""
        log = self._folder / f"worker-{slot}.log"
        pid = self._launcher.start(self._settings_of(slot), log, self._host_of(slot))
        self._current[slot] = pid
        self._slot_of[pid] = slot
        return pid

    def holder(self, slot: str) -> int | None:
        """The process that holds the slot now."""
        return self._current.get(slot)

    def signal(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal; return whether the process still existed."""
        if pid not in self._slot_of:
            return False
        if number in _CODES:
            self._asked[pid] = _CODES[number]
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it has just ended by itself
            return False
        return True

    def tend(self) -> None:
        """Note which workers have ended, and fill their slots again. Call it often."""
        now = time.monotonic()
        for report in self._launcher.ended():
            slot = self._slot_of.pop(report.pid)
            asked = self._asked.pop(report.pid, None) == report.code
            if not asked:
                self.exits[str(report.code)] += 1
            if self._current.get(slot) == report.pid:
                del self._current[slot]
                if slot in self._wanted:
                    self._due[slot] = now if asked else now + CRASH_PAUSE_S
        for slot, due in list(self._due.items()):
            if now >= due:
                del self._due[slot]
                self.start(slot)

    def ask_where(self) -> None:
        """Have every worker that can (as `canned_worker` does) write its threads' stacks to its log."""
        for pid in self._slot_of:
            self.signal(pid, signal.SIGUSR1)

    def drain(self) -> None:
        """Send SIGTERM to every worker and wait. Raises FatalError: one does not end within END_S."""
        self._wanted.clear()
        self._due.clear()
        for pid in list(self._slot_of):
            self.signal(pid, signal.SIGCONT)
            self.signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + END_S
        while self._slot_of:
            self.tend()
            if time.monotonic() > deadline:
                slots = ", ".join(sorted(self._slot_of.values()))
                raise FatalError(f"workers of slots {slots} did not end within {END_S:.0f} s of SIGTERM")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        for slot in sorted(self._wanted):
            self.start(slot)
        return self

    def __exit__(self, *_: object) -> None:
        self._launcher.close()
