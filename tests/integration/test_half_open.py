"""Thousands of connections that never finish asking: probes and Prometheus must still be answered."""

import os
import re
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from schemas import load_topics
from tests.fakes.tiny_bundle import write_tiny_bundle
from worker.kafka.topics import apply_topics

ATTACKERS: Final = 4
SOCKETS: Final = 750  # of each; so that none needs more files than a process gets by default
FILES: Final = 1024  # what the server gets: Linux' default

# Holds connections on which nothing, or half a header, was sent; opens those again that the server closes.
ATTACK: Final = """
import contextlib, select, socket, sys, time
address, count = ("127.0.0.1", int(sys.argv[1])), int(sys.argv[2])
held, told = {}, False
while True:
    while len(held) < count:
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(address)
        held[one.fileno()] = one
        if len(held) % 2:
            with contextlib.suppress(OSError):
                one.send(b"GET /livez HTTP/1.1\\r\\nHost: localhost")
    if not told:
        told = True
        print(len(held), flush=True)
    time.sleep(1)
    looks = select.poll()
    for number in held:
        looks.register(number, select.POLLIN | select.POLLHUP)
    for number, _ in looks.poll(0):
        held.pop(number).close()
"""


def _few_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


@contextmanager
def started(command: list[str], log: Path, **settings: str) -> Iterator[tuple[int, int | None]]:
    """A server with as many files as a process gets by default; yields its health port, and the pages'."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mimamori", *command],
            env=os.environ | {f"MIMAMORI_{name}": value for name, value in settings.items()},
            stdout=output,
            stderr=output,
            preexec_fn=_few_files,  # noqa: PLW1509 - no thread of ours runs at this moment
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r'"health_port": ?(\d+)', log.read_text())):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        pages = re.search(r'"url": ?"http://[^:]+:(\d+)/', log.read_text())
        yield int(found[1]), int(pages[1]) if pages else None
        assert server.poll() is None, log.read_text()
    finally:
        server.kill()
        server.wait()


@contextmanager
def half_open(port: int) -> Iterator[None]:
    """3,000 of them."""
    attackers = [
        subprocess.Popen([sys.executable, "-c", ATTACK, str(port), str(SOCKETS)], stdout=subprocess.PIPE)
        for _ in range(ATTACKERS)
    ]
    try:
        for attacker in attackers:
            assert attacker.stdout is not None
            assert attacker.stdout.readline()
        yield
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.communicate()


def status(port: int, path: str) -> int | str:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            answer.read()
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code
    except (URLError, OSError) as error:
        return repr(error)


@pytest.mark.parametrize("server", ["worker", "desk", "desk's pages"])
def test_three_thousand_half_open_connections_leave_it_alive(
    server: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    prefix = f"{secrets.token_hex(4)}."
    definitions = load_topics(prefix, replication_factor=1, partitions=1)
    apply_topics({"bootstrap.servers": kafka_bootstrap}, definitions)
    kafka = {"BOOTSTRAP": kafka_bootstrap, "TOPIC_PREFIX": prefix}
    if server == "worker":
        bundle = write_tiny_bundle(tmp_path / "bundle")
        command = ["run"]
        settings = {**kafka, "BUNDLE": str(bundle.path), "DEVICE": "cpu", "HEALTH_PORT": "0"}
    else:
        command = ["review"]
        own = {**kafka, "FOLDER": str(tmp_path / "desk"), "PORT": "0", "HEALTH_PORT": "0"}
        settings = {f"REVIEW_{name}": value for name, value in own.items()}
    with (
        started(command, tmp_path / "log", **settings) as (port, pages),
        half_open(pages if server == "desk's pages" and pages else port),
    ):
        answered = [status(port, path) for _ in range(5) for path in ("/livez", "/metrics")]
        if pages:
            answered += [status(pages, "/sign-in") for _ in range(5)]
            # What machines ask is not at the pages' port, and no page is at theirs.
            assert [status(pages, path) for path in ("/livez", "/readyz", "/metrics")] == [401, 401, 401]
            assert [status(port, path) for path in ("/", "/sign-in", "/api/v1/cases")] == [404, 404, 404]
    assert answered == [200] * len(answered)
