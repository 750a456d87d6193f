"""The proxy, as a process, between a client and an echo."""

import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from mimamori.sandbox.server import HOST, choose_port
from mimamori.soak.proxy import Turn


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while piece := self.request.recv(1 << 16):
            self.request.sendall(piece)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that is reset is what these tests are about."""


class Proxied:
    """A proxy before an echo."""

    def __init__(self, target: int) -> None:
        self.port = choose_port(0, "")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mimamori.soak.proxy", f"{self.port}:{target}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"listening\n"

    def turn(
        self,
        *,
        cut: bool = False,
        is_open: bool | None = None,
        latency_s: float | None = None,
        silent: bool | None = None,
    ) -> None:
        assert self.process.stdin is not None
        turn = Turn(self.port, cut, is_open, latency_s, silent)
        self.process.stdin.write(msgspec.json.encode(turn) + b"\n")
        self.process.stdin.flush()

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=10)


@pytest.fixture
def proxied() -> Iterator[Proxied]:
    with Server((HOST, 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        proxied = Proxied(echo.server_address[1])
        yield proxied
        proxied.process.communicate(timeout=10)  # its input ends, and so does it
        assert proxied.process.returncode == 0
        echo.shutdown()


def ask(connection: socket.socket, content: bytes) -> bytes:
    connection.sendall(content)
    answer = b""
    while len(answer) < len(content):
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionResetError
        answer += piece
    return answer


def is_alive(proxied: Proxied) -> bool:
    try:
        with proxied.connect() as connection:
            return ask(connection, b"?") == b"?"
    except OSError:
        return False


def wait_until(proxied: Proxied, *, alive: bool) -> None:
    deadline = time.monotonic() + 10
    while is_alive(proxied) != alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_forwards_every_byte(proxied: Proxied) -> None:
    content = bytes(range(256)) * 4_000
    with proxied.connect() as connection:
        sending = threading.Thread(target=connection.sendall, args=(content,))
        sending.start()
        answer = b""
        while len(answer) < len(content):
            answer += connection.recv(1 << 16)
        sending.join()
    assert answer == content


def test_it_cuts_what_is_connected_and_nothing_that_comes_later(proxied: Proxied) -> None:
    with proxied.connect() as connection:
        assert ask(connection, b"before") == b"before"
        proxied.turn(cut=True)
        deadline = time.monotonic() + 10
        with suppress(OSError):  # reset, broken pipe: whichever comes first
            while time.monotonic() < deadline:
                ask(connection, b"after")
        assert time.monotonic() < deadline
    assert is_alive(proxied)


def test_in_silence_nothing_comes_nothing_is_closed_and_all_of_it_comes_later(proxied: Proxied) -> None:
    with proxied.connect() as connection:
        assert ask(connection, b"before") == b"before"
        proxied.turn(silent=True)
        connection.settimeout(0.3)
        with suppress(TimeoutError):  # until the turn, which travels on another way, answers come
            for _ in range(1_000_000):
                assert ask(connection, b"?") == b"?"
            pytest.fail("it was never silent")
        connection.settimeout(10)
        proxied.turn(silent=False)
        assert connection.recv(1) == b"?"
        assert ask(connection, b"after") == b"after"


def test_it_refuses_until_it_is_opened(proxied: Proxied) -> None:
    assert is_alive(proxied)
    proxied.turn(is_open=False)
    wait_until(proxied, alive=False)
    proxied.turn(is_open=True)
    wait_until(proxied, alive=True)


def test_it_delays_a_connection_that_is_there_already(proxied: Proxied) -> None:
    with proxied.connect() as connection:
        assert ask(connection, b"quick") == b"quick"
        proxied.turn(latency_s=0.3)
        deadline = time.monotonic() + 10
        took = 0.0
        while took < 0.3:  # the turn travels on another way
            assert time.monotonic() < deadline
            started = time.monotonic()
            assert ask(connection, b"slow") == b"slow"
            took = time.monotonic() - started
