"""Starts worker processes: forked by a zygote, or as `mimamori run` on a real bundle."""

import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.errors import FatalError
from mimamori import process
from mimamori.soak.zygote import Order, Report

START_S = 30.0
END_S = 10.0


class Launcher(Protocol):
    """Starts worker processes and reports their ends."""

    def start(self, settings: Mapping[str, Any], log: Path, host: str = "") -> int:
        """Start a worker, on a host of its own where one is named, and return its process id."""

    def ended(self) -> list[Report]:
        """Return the workers that have ended since the last call."""

    def close(self) -> None:
        """Kill the workers that still run."""


class ZygoteLauncher:
    """Starts workers by a zygote, which forks and runs `entry` (`module:function`) in each fork."""

    def __init__(self, entry: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-m", "mimamori.soak.zygote", entry],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=process.outside(),
            start_new_session=True,
        )
        self._started: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, name="zygote", daemon=True)
        self._thread.start()

    def start(self, settings: Mapping[str, Any], log: Path, host: str = "") -> int:
        """See Launcher. Raises FatalError: the zygote is gone."""
        order = msgspec.json.encode(Order(dict(settings), str(log), host))
        try:
            assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
            self._process.stdin.write(order + b"\n")
            self._process.stdin.flush()
            return self._started.get(timeout=START_S)
        except (OSError, queue.Empty):
            raise FatalError("the process that forks the soak's workers has ended: run it again") from None

    def ended(self) -> list[Report]:
        """See Launcher."""
        reports = []
        with suppress(queue.Empty):
            while True:
                reports.append(self._ended.get_nowait())
        return reports

    def close(self) -> None:
        """See Launcher. The zygote kills the workers when its input ends."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process.wait(END_S)
        self._thread.join(END_S)

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe
        with self._process.stdout as reports:
            for line in reports:
                report = msgspec.json.decode(line, type=Report)
                if report.code is None:
                    self._started.put(report.pid)
                else:
                    self._ended.put(report)


class BundleLauncher:
    """Starts workers as a user does: `mimamori run` with a real bundle, and settings in the environment."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, settings: Mapping[str, Any], log: Path, host: str = "") -> int:
        """See Launcher. They all share the soak's own host."""
        assert not host  # noqa: S101 - the command refuses it
        given = {"bundle": self._bundle, **settings}
        worker = process.start(process.WORKER, given, log, own_session=True)
        self._running.append(worker)
        return worker.pid

    def ended(self) -> list[Report]:
        """See Launcher."""
        ended = [worker for worker in self._running if worker.poll() is not None]
        self._running = [worker for worker in self._running if worker.returncode is None]
        return [Report(worker.pid, worker.returncode) for worker in ended]

    def close(self) -> None:
        """See Launcher."""
        for worker in self._running:
            worker.kill()
            worker.wait(END_S)
