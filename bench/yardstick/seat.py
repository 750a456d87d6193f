"""An engine's process, from the parent's side: it runs one round at a time, and is frozen in between.

A frozen process (SIGSTOP) uses no CPU, so only one engine works at a time, even where an engine's idle thread
pool would spin.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class SeatError(Exception):
    """An engine failed. The error says why, and quotes no message's text."""


class Seat:
    """One child process that speaks JSON lines."""

    def __init__(self, command: list[str], log: Path, patience_s: float) -> None:
        """What the engine's libraries print goes to `log`. An answer must come within `patience_s`."""
        self._log, self._patience_s = log, patience_s
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
            )
        self._buffer = b""

    def __enter__(self) -> Self:
        """Does nothing: the child is already loading."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the child, frozen or not."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def answer(self) -> dict[str, Any]:
        """Wait for the child's next line, then freeze the child.

        Raises SeatError: it failed, died, or took longer than `patience_s`.
        """
        deadline = time.monotonic() + self._patience_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise SeatError(f"gave no answer within {self._patience_s:.0f} s")
            assert self._process.stdout is not None  # noqa: S101 - it is a pipe
            descriptor = self._process.stdout.fileno()
            if select.select([descriptor], [], [], left)[0]:
                piece = os.read(descriptor, 1 << 20)
                if not piece:
                    raise SeatError(f"ended with code {self._process.wait()}; see {self._log.name}")
                self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "failed":
            raise SeatError(event["why"])
        self._process.send_signal(signal.SIGSTOP)
        return event

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Continue the child, send it a command, and wait for the answer."""
        self._process.send_signal(signal.SIGCONT)
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SeatError(f"is gone; see {self._log.name}") from None
        return self.answer()
