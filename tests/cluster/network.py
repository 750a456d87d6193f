"""The network that a cluster runs in: one of its own, where every port is free and pods have addresses.

`make cluster-test` enters it with `unshare`. Nothing in it reaches the machine's own network, or is reached
from there. Pods share it: each listens on an address of its own, and not on all of them.
"""

import socket
import subprocess
from itertools import count

_PODS = "10.244.0.0/16"  # below it, and not on loopback: Kubernetes refuses endpoints there
_LOOPBACK = ["lo"]


def is_apart() -> bool:
    """Whether this process is in a network of its own, where nothing but loopback exists."""
    return [name for _, name in socket.if_nameindex()] == _LOOPBACK


def prepare() -> None:
    """Bring loopback up, and make every pod's address one of this network's own. Once is enough."""
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "route", "replace", "local", _PODS, "dev", "lo"],
    ):
        subprocess.run(command, check=True)


class Addresses:
    """Gives each pod an address that none had before."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def take(self) -> str:
        """The next one."""
        number = next(self._numbers)
        return f"10.244.{number // 250}.{number % 250 + 1}"
