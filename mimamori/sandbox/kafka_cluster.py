"""Several Kafka nodes that hold each other's replicas: what may be lost is seen only where one is enough.

Each is broker and controller, as in `kafka_server.py`, and needs 600 MB. Three are the fewest that go on
without one: each record is on two before it counts.
"""

from collections.abc import Sequence
from pathlib import Path

from mimamori.sandbox.java import Echo
from mimamori.sandbox.kafka_server import KafkaServer
from mimamori.sandbox.node import Node, cluster_id
from mimamori.sandbox.secured import Secured
from mimamori.sandbox.server import choose_port


class KafkaCluster:
    """Brokers in folders below `folder`, numbered from 1. They start, stop and end together, or one alone."""

    def __init__(
        self,
        folder: Path,
        nodes: Sequence[Node],
        *,
        temporary: bool,
        echo: Echo,
        port: int = 0,
        secured: Secured | None = None,
    ) -> None:
        """`nodes`: see `nodes_of`. The first broker listens on `port`; 0 chooses a free one for each.

        Raises SandboxError: see `KafkaServer`.
        """
        self.brokers = [
            KafkaServer(
                folder / f"broker-{node.id}",
                port if node is nodes[0] else 0,
                temporary=temporary,
                echo=echo,
                node=node,
                secured=secured,
            )
            for node in nodes
        ]

    @property
    def bootstrap(self) -> str:
        """Every broker's `host:port`."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    def start(self) -> None:
        """Start those that do not run, and return when all know one another. Raises SandboxError."""
        for broker in self.brokers:
            if not broker.runs:
                broker.launch()
        for broker in self.brokers:
            broker.await_ready(len(self.brokers))

    def check(self) -> None:
        """Raise SandboxError if one has ended by itself."""
        for broker in self.brokers:
            broker.check()

    def stop(self) -> None:
        """Shut all down at once: one after the other, the last would wait in vain for a controller."""
        for broker in self.brokers:
            broker.ask_to_end()
        for broker in self.brokers:
            broker.stop()

    def kill(self) -> None:
        """Kill all with SIGKILL."""
        for broker in self.brokers:
            broker.kill()


def nodes_of(count: int) -> list[Node]:
    """The nodes of a new cluster. All of them vote."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(choose_port(0, "--brokers"))
    voters = dict(enumerate(sorted(ports), start=1))
    name = cluster_id()
    return [Node(cluster_id=name, id=node, voters=voters) for node in voters]
