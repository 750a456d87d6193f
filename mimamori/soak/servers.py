"""The soak's own new Kafka and Redis, each behind gates of the proxy.

soak's own clients ─────────────────────────► Kafka
worker of slot n ──► gate n of each broker ─► its listener n           one per worker, so that each alone
                 ──► gate of Redis ─────────► Redis                    can be cut off or slowed down

With hosts of their own (links.py) workers and brokers are on these, with no gate between them: their packets
are dropped on the way. Redis is at the hub then, behind its gate, and each broker's log on a disk of its own.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from mimamori.errors import SandboxError
from mimamori.sandbox.kafka_cluster import KafkaCluster, nodes_of
from mimamori.sandbox.redis_server import RedisServer
from mimamori.sandbox.server import HOST, choose_port
from mimamori.soak import links as hosts
from mimamori.soak.disks import Disks
from mimamori.soak.links import HUB, Links
from mimamori.soak.proxy import Turn

END_S = 10.0


class Servers:
    """Both servers and the proxy, in `folder`. A context manager. Raises SandboxError: see `Sandbox`."""

    def __init__(self, folder: Path, workers: int, brokers: int = 1, links: Links | None = None) -> None:
        self.links = links
        self.disks: Disks | None = None
        gated = 0 if links else workers
        self._redis_gate, *ports = _ports(2 * gated * brokers + 1)
        gates, inner = ports[: gated * brokers], ports[gated * brokers :]
        self._gates = [gates[slot::gated] for slot in range(gated)]  # of each slot: one at each broker
        self._proxied = dict(zip(inner, gates, strict=True))
        nodes = []
        for at, node in enumerate(nodes_of(brokers)):
            own = inner[at * gated : (at + 1) * gated]
            nodes.append(msgspec.structs.replace(node, proxied={port: self._proxied[port] for port in own}))
        if links is not None:
            nodes = [
                msgspec.structs.replace(node, hosts=links.brokers, within=hosts.within(hosts.broker(node.id)))
                for node in nodes
            ]
        self.kafka = KafkaCluster(folder / "kafka", nodes, temporary=True, echo=lambda _: None)
        self.redis = RedisServer(folder / "redis", 0, temporary=True)
        self._proxy: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Kafka's address without the proxy."""
        return self.kafka.bootstrap

    def bootstrap_of(self, slot: int) -> str:
        """Kafka's addresses for the worker of this slot; slots beyond the gates share them."""
        if self.links is not None:
            return self.bootstrap
        return ",".join(f"{HOST}:{gate}" for gate in self._gates[slot % len(self._gates)])

    @property
    def redis_url(self) -> str:
        """Redis' URL for the workers, through its gate."""
        return f"redis://{HUB if self.links else HOST}:{self._redis_gate}/0"

    def keep(self) -> None:
        """Kill the brokers, and copy what is on disks of their own, which end with the soak, to `kept`."""
        self.kafka.kill()
        for broker in self.kafka.brokers if self.disks else ():
            shutil.copytree(broker.logs, broker.logs.with_name("kept"))

    def turn_kafka(
        self,
        slot: int,
        *,
        cut: bool = False,
        is_open: bool | None = None,
        latency_s: float | None = None,
        silent: bool | None = None,
    ) -> None:
        """Change the gates of this slot's worker."""
        for gate in self._gates[slot]:
            self._turn(Turn(gate, cut, is_open, latency_s, silent))

    def turn_redis(
        self, *, cut: bool = False, is_open: bool | None = None, latency_s: float | None = None
    ) -> None:
        """Change the gate of Redis."""
        self._turn(Turn(self._redis_gate, cut, is_open, latency_s))

    def __enter__(self) -> Self:
        try:
            self.redis.start()
            if self.links is not None:
                self.disks = Disks([broker.logs for broker in self.kafka.brokers])
            self.kafka.start()
            self._start_proxy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._proxy is not None:
            self._proxy.kill()
            self._proxy.communicate(timeout=END_S)  # closes the pipes too
        self.kafka.kill()  # its data is not read again, and an orderly shutdown would take longer
        self.redis.kill()
        if self.disks is not None:
            self.disks.close()

    def _start_proxy(self) -> None:
        routes = {self._redis_gate: self.redis.port} | {gate: inner for inner, gate in self._proxied.items()}
        self._proxy = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [
                *(sys.executable, "-m", "mimamori.soak.proxy", HUB if self.links else HOST),
                *(f"{gate}:{to}" for gate, to in routes.items()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        if self._proxy.stdout is None or not self._proxy.stdout.readline():
            raise SandboxError(
                "the proxy of the soak did not start: a port was taken meanwhile; run it again"
            )

    def _turn(self, turn: Turn) -> None:
        if self._proxy is None or self._proxy.stdin is None:
            raise SandboxError("the proxy of the soak does not run")
        with suppress(BrokenPipeError):
            self._proxy.stdin.write(msgspec.json.encode(turn) + b"\n")
            self._proxy.stdin.flush()


def _ports(count: int) -> Sequence[int]:
    """Find `count` different free ports."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(choose_port(0, "--seed"))
    return sorted(ports)
