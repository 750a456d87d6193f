"""Runs in a network of its own, for `test_network.py`: loses packets between two hosts and says what came."""

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mimamori.soak import links as hosts
from mimamori.soak.disks import Disks
from mimamori.soak.links import HUB, Links

PORT = 7_000
SENT = 200  # fewer than a receiver's buffer holds
SILENCE_S, ANSWER_S = 0.5, 60.0


def main() -> dict[str, object]:
    links = Links(brokers=2, workers=1)
    told: dict[str, object] = {}
    answer_on(hosts.broker(1), links.brokers[1])
    answer_on(hosts.broker(2), links.brokers[2])
    hosts.go_to(hosts.worker(0))
    one, other = (ask(links.brokers[number]) for number in (1, 2))
    told["before the cut"] = one(ANSWER_S)
    at_hub(lambda: cut.append(links.drop(hosts.worker(0), [links.brokers[1]])))
    told["during the cut"] = one(SILENCE_S)
    told["to others meanwhile"] = other(ANSWER_S)
    at_hub(lambda: links.heal(hosts.worker(0), cut[0]))
    told["of the same connection after it"] = one(ANSWER_S)
    at_hub(lambda: cut.append(links.drop(hosts.worker(0), [HUB], 0.3)))
    told["of 200 with 0.3 lost"] = arrived()
    at_hub(lambda: links.heal(hosts.worker(0), cut[1]))
    told["of 200 afterwards"] = arrived()
    return told


cut: list[int] = []
_hub = os.open("/proc/self/ns/net", os.O_RDONLY)


def at_hub(what: Callable[[], object]) -> None:
    hosts.enter(_hub)
    what()
    hosts.go_to(hosts.worker(0))


def answer_on(host: str, address: str) -> None:
    """Echo on a host, in a process of its own."""
    hosts.go_to(host)
    listening = socket.create_server((address, PORT))
    hosts.enter(_hub)
    if os.fork() == 0:
        connection, _ = listening.accept()
        while piece := connection.recv(1):
            connection.sendall(piece)
        os._exit(0)
    listening.close()


def ask(address: str) -> Callable[[float], str]:
    connection = socket.create_connection((address, PORT), timeout=ANSWER_S)
    waiting = 0

    def asked(within_s: float) -> str:
        """Send a byte, and see whether it comes back, with those before it."""
        nonlocal waiting
        connection.sendall(b"?")
        waiting += 1
        connection.settimeout(within_s)
        try:
            while waiting:
                if not (came := connection.recv(waiting)):
                    return "closed"
                waiting -= len(came)
        except TimeoutError:
            return "silence"
        except OSError as error:
            return type(error).__name__
        return "answered"

    return asked


def arrived() -> int:
    """How many of SENT datagrams from the worker reach the hub."""
    hosts.enter(_hub)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taking:
        taking.bind((HUB, PORT))
        hosts.go_to(hosts.worker(0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as giving:
            for _ in range(SENT):
                giving.sendto(b"!", (HUB, PORT))
        taking.settimeout(SILENCE_S)
        came = 0
        with suppress(TimeoutError):
            while taking.recv(8):
                came += 1
    return came


def disk() -> dict[str, object]:
    told: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        disks = Disks([Path(folder)])
        (Path(folder) / "before").write_bytes(b"x" * 100_000)
        disks.fill(Path(folder))
        try:
            (Path(folder) / "after").write_bytes(b"x" * 1_000_000)
        except OSError as error:
            told["written to a full disk"] = error.strerror
        disks.free(Path(folder))
        (Path(folder) / "later").write_bytes(b"x" * 1_000_000)
        told["written to it later"] = "everything"
        disks.close()
    return told


if __name__ == "__main__":
    if "stay" in sys.argv:
        Links(brokers=2, workers=1)
        sys.stdout.write(f"{os.fstat(_hub).st_ino}\n")
        sys.stdout.flush()
        time.sleep(600)
    sys.stdout.write(json.dumps(main() | disk()))
    sys.stdout.flush()
    os._exit(0)
