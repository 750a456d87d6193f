"""What a broker of the sandbox knows of its cluster: who votes, and how many replicas there are."""

import base64
import uuid
from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from mimamori.sandbox.encrypted import Encrypted
from mimamori.sandbox.secured import Secured
from mimamori.sandbox.server import HOST, choose_port

REPLICAS = 3


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One broker, which is a controller too.

    `voters` maps the id of each node to the port of its controller. `proxied` maps further ports to listen on
    to the port that the broker advertises to clients of that listener. That is the port of a proxy: a client
    connects to what the broker advertises, and not to the address that it bootstrapped from. The first one of
    each node belong together, and so on: on a listener a client is told of that listener of every broker.
    `hosts` maps nodes to the addresses of their own, where they do not share this machine's loopback;
    `within` is the command that then runs this one where its address is.
    """

    cluster_id: str
    id: int
    voters: Mapping[int, int]
    proxied: Mapping[int, int] = {}
    hosts: Mapping[int, str] = {}
    within: Sequence[str] = ()

    @classmethod
    def alone(cls) -> Self:
        """A cluster of one."""
        return cls(cluster_id=cluster_id(), id=1, voters={1: choose_port(0, "--kafka-port")})

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.hosts.get(self.id, HOST)

    @property
    def replicas(self) -> int:
        """Of each partition."""
        return min(len(self.voters), REPLICAS)

    def settings(self, port: int, secured: Secured | None, encrypted: Encrypted | None = None) -> str:
        """The lines of server.properties that say where it listens, whom it knows, and how much it keeps."""
        protocol = secured.protocol if secured else "PLAINTEXT"
        listeners = {"CLIENTS": (port, port)}
        listeners |= {f"PROXIED{at}": ports for at, ports in enumerate(self.proxied.items())}
        own = {name: f"{name}://{self.host}:{inner}" for name, (inner, _) in listeners.items()}
        told = {name: f"{name}://{self.host}:{outer}" for name, (_, outer) in listeners.items()}
        of_each = dict.fromkeys((*listeners, "CONTROLLER"), protocol)
        for name, (at, with_tls) in encrypted.listeners.items() if encrypted else ():
            own[name] = told[name] = f"{name}://{self.host}:{at}"
            of_each[name] = with_tls
        voters = [f"{node}@{self.hosts.get(node, HOST)}:{at}" for node, at in self.voters.items()]
        protocols = ",".join(f"{name}:{each}" for name, each in of_each.items())
        return f"""\
process.roles=broker,controller
node.id={self.id}
controller.quorum.voters={",".join(voters)}
listeners={",".join(own.values())},CONTROLLER://{self.host}:{self.voters[self.id]}
advertised.listeners={",".join(told.values())}
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
listener.security.protocol.map={protocols}
{secured.properties(encrypted) if secured else ""}

# Where there are three, each record is on two before it counts.
default.replication.factor={self.replicas}
min.insync.replicas={self.safe_replicas}
offsets.topic.replication.factor={self.replicas}
transaction.state.log.replication.factor={self.replicas}
transaction.state.log.min.isr={self.safe_replicas}
share.coordinator.state.topic.replication.factor={self.replicas}
share.coordinator.state.topic.min.isr={self.safe_replicas}
"""

    @property
    def safe_replicas(self) -> int:
        """How many must have a record before it counts: one may fail."""
        return max(1, self.replicas - 1)


def cluster_id() -> str:
    """A new cluster's id, as Kafka writes it: a UUID in base64, never with a dash in front.

    Kafka's storage tool would take an id that begins with a dash for one of its options. Kafka's own
    `Uuid.randomUuid` draws again for the same reason.
    """
    while True:
        drawn = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not drawn.startswith("-"):
            return drawn
