"""The soak's own new Kafka and Redis, each behind gates of the proxy.

soak's own clients ─────────────────────────► Kafka
worker of slot n ──► gate n of each broker ─► its listener n           one per worker, so that each alone
                 ──► gate of Redis ─────────► Redis                    can be cut off or slowed down
"""

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
from mimamori.soak.proxy import Turn

END_S = 10.0


class Servers:
    """Both servers and the proxy, in `folder`. A context manager. Raises SandboxError: see `Sandbox`."""

    def __init__(self, folder: Path, workers: int, brokers: int = 1) -> None:
        self._redis_gate, *ports = _ports(2 * workers * brokers + 1)
        gates, inner = ports[: workers * brokers], ports[workers * brokers :]
        self._gates = [gates[slot::workers] for slot in range(workers)]  # of each slot: one at each broker
        self._proxied = dict(zip(inner, gates, strict=True))
        nodes = []
        for at, node in enumerate(nodes_of(brokers)):
            own = inner[at * workers : (at + 1) * workers]
            nodes.append(msgspec.structs.replace(node, proxied={port: self._proxied[port] for port in own}))
        self.kafka = KafkaCluster(folder / "kafka", nodes, temporary=True, echo=lambda _: None)
        self.redis = RedisServer(folder / "redis", 0, temporary=True)
        self._proxy: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Kafka's address without the proxy."""
        return self.kafka.bootstrap

    def bootstrap_of(self, slot: int) -> str:
        """Kafka's addresses for the worker of this slot; slots beyond the gates share them."""
        return ",".join(f"{HOST}:{gate}" for gate in self._gates[slot % len(self._gates)])

    @property
    def redis_url(self) -> str:
        """Redis' URL for the workers, through its gate."""
        return f"redis://{HOST}:{self._redis_gate}/0"

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

    def _start_proxy(self) -> None:
        routes = {self._redis_gate: self.redis.port} | {gate: inner for inner, gate in self._proxied.items()}
        self._proxy = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-m", "mimamori.soak.proxy", *(f"{gate}:{to}" for gate, to in routes.items())],
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
