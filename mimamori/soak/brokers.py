"""Strikes brokers: kills the one with a certain duty, freezes one, cuts one off; and puts it right again."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from os import kill
from typing import Final, assert_never

import msgspec

from mimamori.sandbox import kafka_wire
from mimamori.sandbox.kafka_cluster import KafkaCluster
from mimamori.sandbox.kafka_server import KafkaServer
from mimamori.soak import links as hosts
from mimamori.soak.clients import Housekeeping
from mimamori.soak.disks import Disks, forbid_growth
from mimamori.soak.links import Links
from mimamori.soak.plan import BrokerKind, Fault

FULL_WITHIN_S: Final = 30.0

Duty = Callable[[KafkaServer], int]  # asks one broker for the number of the one that has it
Blow = Callable[[KafkaServer, Fault], None]


class Target(msgspec.Struct, frozen=True):
    """Whose brokers are struck: the workers' group, their topic, and one worker's transactional id."""

    group: str
    topic: str
    transactional_id: str


class Brokers:
    """Strikes one broker at a time. Call `tend` often, and `close` at the end."""

    def __init__(
        self, kafka: KafkaCluster, target: Target, links: Links | None = None, disks: Disks | None = None
    ) -> None:
        """`links` and `disks` are those of the brokers, where they have hosts of their own."""
        self._kafka = kafka
        self._target = target
        self._links = links
        self._disks = disks
        self._thread = ThreadPoolExecutor(1, "broker")  # a start takes seconds
        self._struck: Future[None] | None = None
        self._turn = 0
        self._house = Housekeeping(kafka.bootstrap)

    @property
    def striking(self) -> bool:
        """Whether a fault of a broker is not over yet."""
        return self._struck is not None

    def tend(self) -> None:
        """Note that a fault is over. Raises SandboxError: the broker did not start again."""
        if self._struck is not None and self._struck.done():
            self._struck.result()
            self._struck = None

    def close(self) -> None:
        """Wait for the last fault's end."""
        self._thread.shutdown()

    def strike(self, kind: BrokerKind, fault: Fault) -> bool:
        """Strike; return whether that was possible now: one is struck at a time, and its duty is known."""
        if self._struck is not None or (broker := self._whom(kind)) is None:
            return False
        self._struck = self._thread.submit(self._blow(kind), broker, fault)
        return True

    def _blow(self, kind: BrokerKind) -> Blow:
        match kind:
            case "broker_kill" | "leader_kill" | "controller_kill" | "coordinator_kill" | "transaction_kill":
                blow: Blow = _kill
            case "broker_stop":
                blow = _stop
            case "leaders_move":
                blow = self._move_leaders
            case "broker_freeze":
                blow = _freeze
            case "disk_full":
                blow = self._fill
            case "broker_cut" | "broker_split" | "broker_loss":
                blow = self._drop
            case _:
                assert_never(kind)
        return blow

    def _whom(self, kind: BrokerKind) -> KafkaServer | None:
        """The broker with the duty, or each in turn; None while nobody knows who has it."""
        self._turn += 1
        anyone = self._kafka.brokers[self._turn % len(self._kafka.brokers)]
        duties: tuple[Duty, ...] = (self._leader, self._controller, self._coordinator, self._transactions)
        match kind:
            case "leader_kill":
                duty: Duty = self._leader
            case "controller_kill" | "broker_stop":
                duty = self._controller
            case "coordinator_kill":
                duty = self._coordinator
            case "transaction_kill":
                duty = self._transactions
            case "broker_cut" | "broker_split" | "broker_loss":
                duty = duties[self._turn % len(duties)]
            case "broker_kill" | "broker_freeze" | "disk_full" | "leaders_move":
                return anyone
        with suppress(OSError):
            if (number := duty(anyone)) > 0:
                return self._kafka.brokers[number - 1]
        return None

    def _leader(self, _: KafkaServer) -> int:
        """The leader of a partition of the messages, each in turn."""
        leaders = self._house.leaders(self._target.topic)
        return leaders[self._turn % len(leaders)] if leaders else -1

    def _controller(self, asked: KafkaServer) -> int:
        return kafka_wire.controller_of(asked.port, host=asked.host)

    def _coordinator(self, asked: KafkaServer) -> int:
        return kafka_wire.coordinator_of(asked.port, self._target.group, host=asked.host)

    def _transactions(self, asked: KafkaServer) -> int:
        name = self._target.transactional_id
        return kafka_wire.coordinator_of(asked.port, name, kafka_wire.TRANSACTIONS, host=asked.host)

    def _move_leaders(self, _: KafkaServer, __: Fault) -> None:
        self._house.move_leaders()

    def _drop(self, broker: KafkaServer, fault: Fault) -> None:
        """Drop packets between a broker and everyone else, or the other brokers alone, for a while."""
        assert self._links is not None  # noqa: S101 - only planned where there are links
        peers = self._links.others(broker.host)
        if fault.kind == "broker_split":
            peers = [other.host for other in self._kafka.brokers if other is not broker]
        host = hosts.broker(self._kafka.brokers.index(broker) + 1)
        cut = self._links.drop(host, peers, fault.share)
        time.sleep(fault.lasts_s)
        self._links.heal(host, cut)

    def _fill(self, broker: KafkaServer, fault: Fault) -> None:
        """Let its disk be full; it ends, and starts again on a larger one.

        A broker takes that for an I/O error of its only log folder, after which it ends by itself.
        """
        if self._disks is None:
            forbid_growth(broker.pid)
        else:
            self._disks.fill(broker.logs)
        broker.await_end(FULL_WITHIN_S)
        time.sleep(fault.lasts_s)
        if self._disks is not None:
            self._disks.free(broker.logs)
        broker.start()


def _kill(broker: KafkaServer, fault: Fault) -> None:
    broker.kill()
    time.sleep(fault.lasts_s)
    broker.start()


def _stop(broker: KafkaServer, fault: Fault) -> None:
    """Shut it down in order, as for maintenance: it hands over all that it leads."""
    broker.stop()
    time.sleep(fault.lasts_s)
    broker.start()


def _freeze(broker: KafkaServer, fault: Fault) -> None:
    """Stop its process past its session: the others depose it, and it wakes up and does not know it yet.

    Nobody's connection is closed meanwhile, as if every packet to and from it was lost.
    """
    kill(broker.pid, signal.SIGSTOP)
    time.sleep(fault.lasts_s)
    kill(broker.pid, signal.SIGCONT)
