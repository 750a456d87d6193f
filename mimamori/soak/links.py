"""Hosts with an address of their own on one bridge, and packets between them that are dropped in silence.

    hub (the soak, its own clients, Redis) ── bridge ──┬── veth ── broker-1      a network namespace each
                                                       ├── veth ── broker-2
                                                       └── veth ── worker-0 …

What is dropped is dropped at the hub's end of a host's cable, both ways: no host is told, nothing is closed
or refused, and TCP sends it again, as when a switch fails. A filter of a few instructions draws a number for
each packet. It is one of the kernel's classic packet filters: not every kernel has netem, which would do too.
"""

import ctypes
import ipaddress
import itertools
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

from mimamori.errors import SandboxError

HUB: Final = "10.77.0.254"
NETWORK: Final = "10.77.0"
FIRST_WORKER: Final = 100
CLONE_NEWNET: Final = 0x40000000
PLACES: Final = Path("/run/netns")  # where `ip netns` keeps them, as setns(2) wants them

Way = Literal["ingress", "egress"]  # at the hub's end: from the host, and to it

_NEXT, _DROP = 0xFFFFFFFF, 2  # TC_ACT_UNSPEC: what filters come later decide; TC_ACT_SHOT
_IPV4, _TYPE, _SOURCE, _TARGET = 0x0800, 12, 26, 30  # offsets in an Ethernet frame that holds IPv4
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM, see linux/filter.h


class Links:
    """The hub, and hosts named broker-1 … and worker-0 …. Make it inside an enclosure; it ends with that."""

    def __init__(self, brokers: int, workers: int) -> None:
        """Make the networks. Raises SandboxError."""
        self.brokers = {number: f"{NETWORK}.{number}" for number in range(1, brokers + 1)}
        self.workers = {number: f"{NETWORK}.{FIRST_WORKER + number}" for number in range(workers)}
        self._numbers = itertools.count(1)
        _run("mount -t tmpfs none /run")
        _run("ip link set lo up")
        _run("ip link add hub type bridge")
        _run(f"ip address add {HUB}/24 dev hub")
        _run("ip link set hub up")
        for number, address in self.brokers.items():
            self._add(broker(number), address)
        for number, address in self.workers.items():
            self._add(worker(number), address)

    def drop(self, host: str, peers: Iterable[str], share: float = 1.0) -> int:
        """Drop this share of the packets between a host and its peers, both ways. Return the cut's number."""
        number = next(self._numbers)
        addresses = [int(ipaddress.IPv4Address(peer)) for peer in peers]
        for way in ("ingress", "egress"):
            told = program(way, addresses, share)
            _run(_filter("add", host, way, number) + " bpf da bytecode", told)
        return number

    def heal(self, host: str, number: int) -> None:
        """End the cut of this number."""
        for way in ("ingress", "egress"):
            _run(_filter("del", host, way, number))

    def others(self, address: str) -> list[str]:
        """Everyone's address but this one."""
        return [each for each in (HUB, *self.brokers.values(), *self.workers.values()) if each != address]

    def _add(self, name: str, address: str) -> None:
        _run(f"ip netns add {name}")
        _run(f"ip link add name {name} type veth peer name e0 netns {name}")
        # A packet that is lost is one of the size that a wire carries, and not 64 KB that leave in one piece.
        _run(f"ip -n {name} link set dev e0 gso_max_segs 1")
        _run(f"ip link set {name} master hub up")
        _run(f"ip -n {name} link set lo up")
        _run(f"ip -n {name} address add {address}/24 dev e0")
        _run(f"ip -n {name} link set e0 up")
        _run(f"tc qdisc add dev {name} clsact")


def broker(number: int) -> str:
    """The host of a broker."""
    return f"broker-{number}"


def worker(number: int) -> str:
    """The host of a worker."""
    return f"worker-{number}"


def within(host: str) -> Sequence[str]:
    """The command that runs another one on a host. Its process id becomes that of the other."""
    return ("ip", "netns", "exec", host)


def go_to(host: str) -> None:
    """Let this thread, and what it starts, be on a host from now on. Raises OSError."""
    place = os.open(PLACES / host, os.O_RDONLY)
    try:
        enter(place)
    finally:
        os.close(place)


def enter(network: int) -> None:
    """Let this thread be in a network, of which this is an open file. Raises OSError. See setns(2)."""
    if ctypes.CDLL(None, use_errno=True).setns(network, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network")


def program(way: Way, peers: Sequence[int], share: float) -> str:
    """The filter that drops this share of the packets to (ingress) or from (egress) `peers`, as tc reads it.

    It is a classic BPF program: `count,code if-true if-false constant,…`, see bpf_design_QA and tc-bpf(8).
    """
    count = len(peers)
    steps = [
        (0x28, 0, 0, _TYPE),  # load a half word
        (0x15, 0, count + 1, _IPV4),  # where it is not this, leave
        (0x20, 0, 0, _TARGET if way == "ingress" else _SOURCE),  # load a word
        *((0x15, count - at, 0, peer) for at, peer in enumerate(peers)),  # one of them: to the draw
        (0x06, 0, 0, _NEXT),  # leave
    ]
    if share < 1:
        steps += [(0x20, 0, 0, _RANDOM), (0x35, 1, 0, int(share * 2**32))]  # as high as this: not dropped
    steps += [(0x06, 0, 0, _DROP), (0x06, 0, 0, _NEXT)]
    return f"{len(steps)}," + ",".join(" ".join(map(str, step)) for step in steps)


def _filter(change: str, host: str, way: Way, number: int) -> str:
    return f"tc filter {change} dev {host} {way} pref {number}"


def _run(command: str, *last: str) -> None:
    words = [*command.split(), *last]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if ran.returncode:
        said = (ran.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SandboxError(f"cannot set up the soak's network: {command}: {said}")
