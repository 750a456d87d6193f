"""Runs one local server as a process, with its own process group and log, and makes sure that it ends.

Both servers of the sandbox use it. A Server does not know what it runs: the caller gives a command, and a
probe that says when the server is ready.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from mimamori.errors import SandboxError
from mimamori.sandbox import guard

HOST = "127.0.0.1"
READY_WITHIN = 120.0  # a start takes 2-6 s; a busy two-core machine has needed 40
# These lie below the ports that Linux and macOS give to outgoing connections. Such a connection could take a
# port after it was chosen here, before a server that needs seconds to start listens on it.
PORTS = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether this port of the loopback interface is free now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_port(wanted: int, option: str) -> int:
    """Return the port to listen on: `wanted`, or a free one for 0.

    Raises SandboxError: `wanted` is taken. The line names `option` as the way to choose another.
    """
    if wanted:
        if not is_free(wanted):
            raise SandboxError(
                f"port {wanted} is taken on {HOST}: end what listens there, or choose another with {option}"
            )
        return wanted
    for port in random.sample(PORTS, 200):
        if is_free(port):
            return port
    raise SandboxError(
        f"no free port between {PORTS.start} and {PORTS.stop} on {HOST}: choose one with {option}"
    )


class Server:
    """A running program. `stop` or `kill` ends it; if the starting process dies first, a guard ends it."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, temporary: Path | None) -> None:
        """Start `command`, and append its output to `log`.

        The guard removes the folder `temporary` if this process dies before it calls `stop`.
        Raises SandboxError: the program cannot be executed.
        """
        self.name = name
        self.log = log
        try:
            with log.open("ab") as output:
                # In a process group of its own, the server does not get a terminal's Ctrl-C. We do, and shut
                # it down.
                self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise SandboxError(f"cannot start {name} ({command[0]}): {error.strerror}") from None
        starter, group = str(os.getpid()), str(self._process.pid)
        self._guard = subprocess.Popen(  # noqa: S603 - this interpreter, our own file
            [sys.executable, "-I", "-S", guard.__file__, starter, group, str(temporary or "")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self._process.pid

    def await_ready(self, is_ready: Callable[[], bool], cause: Callable[[str], str]) -> None:
        """Wait until `is_ready` returns true; an OSError of the probe means "not yet".

        Raises SandboxError: the program ended first, or was not ready in READY_WITHIN seconds.
        `cause` reads the likely cause from the end of its log.
        """
        try:
            problem = self._wait(is_ready)
        except BaseException:  # a Ctrl-C while waiting
            self.kill()
            raise
        if problem is not None:
            self.kill()
            raise SandboxError(f"{self.name} {problem}: {self._why(cause)}")

    def _wait(self, is_ready: Callable[[], bool]) -> str | None:
        """Wait; return what went wrong, or None once it is ready."""
        deadline = time.monotonic() + READY_WITHIN
        while not _asked(is_ready):
            if (code := self._process.poll()) is not None:
                return f"ended at start with exit code {code}"
            if time.monotonic() > deadline:
                return f"was not ready after {READY_WITHIN:.0f} s"
            time.sleep(0.05)
        return None

    def check(self, cause: Callable[[str], str]) -> None:
        """Raise SandboxError if the program has ended by itself."""
        if (code := self._process.poll()) is not None:
            raise SandboxError(f"{self.name} ended with exit code {code}: {self._why(cause)}")

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process does not handle SIGTERM before it is continued

    def stop(self, grace: float = 15.0) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds. Returns when the program is gone."""
        if self._process.poll() is None:
            self.ask_to_end()
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        self._leave()

    def await_end(self, within_s: float) -> None:
        """Wait until the program ends by itself; after `within_s` seconds, kill it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        self.kill()

    def kill(self) -> None:
        """Kill the program with SIGKILL, as a crash would. Returns when it is gone."""
        self._signal(signal.SIGKILL)
        self._leave()

    def _why(self, cause: Callable[[str], str]) -> str:
        tail = self.log.read_text(errors="replace")[-20_000:]
        return f"{cause(tail)}; its log is {self.log}"

    def _leave(self) -> None:
        self._process.wait()
        self._guard.kill()
        self._guard.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)


def _asked(is_ready: Callable[[], bool]) -> bool:
    try:
        return is_ready()
    except OSError:
        return False
