"""Loses a worker's packets: all of them to and from every broker or one, or a share of them."""

import itertools
from collections.abc import Callable
from functools import partial

from mimamori.soak import links as hosts
from mimamori.soak.links import Links
from mimamori.soak.plan import Fault, WorkerPacketKind


class WorkerPackets:
    """Strikes workers on hosts of their own. Redis and whoever asks for their health still reach them."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._turns = itertools.count()

    def strike(self, kind: WorkerPacketKind, fault: Fault) -> Callable[[], None]:
        """Drop packets from now on; return what ends it."""
        host = hosts.worker(fault.slot)
        peers = list(self._links.brokers.values())
        if kind == "worker_half_cut":
            peers = [peers[next(self._turns) % len(peers)]]
        return partial(self._links.heal, host, self._links.drop(host, peers, fault.share))
