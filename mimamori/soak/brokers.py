"""Strikes brokers: kills the one with a certain duty, freezes one, fills one's disk; and starts it again."""

import resource
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
from mimamori.soak.clients import Housekeeping
from mimamori.soak.plan import BrokerKind

FULL_WITHIN_S: Final = 30.0


class Target(msgspec.Struct, frozen=True):
    """Whose brokers are struck: the workers' group, and the topic that they read."""

    group: str
    topic: str


class Brokers:
    """Strikes one broker at a time. Call `tend` often, and `close` at the end."""

    def __init__(self, kafka: KafkaCluster, target: Target) -> None:
        self._kafka = kafka
        self._target = target
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

    def strike(self, kind: BrokerKind, lasts_s: float) -> bool:
        """Strike; return whether that was possible now: one is struck at a time, and its duty is known."""
        if self._struck is not None or (broker := self._whom(kind)) is None:
            return False
        self._struck = self._thread.submit(self._blow(kind), broker, lasts_s)
        return True

    def _blow(self, kind: BrokerKind) -> Callable[[KafkaServer, float], None]:
        match kind:
            case "broker_kill" | "leader_kill" | "controller_kill" | "coordinator_kill":
                return _kill
            case "broker_freeze":
                return _freeze
            case "disk_full":
                return _fill
        assert_never(kind)

    def _whom(self, kind: BrokerKind) -> KafkaServer | None:
        """The broker with the duty, or each in turn; None while nobody knows who has it."""
        self._turn += 1
        anyone = self._kafka.brokers[self._turn % len(self._kafka.brokers)]
        number = -1
        with suppress(OSError):
            match kind:
                case "leader_kill":
                    number = self._leader()
                case "controller_kill":
                    number = kafka_wire.controller_of(anyone.port)
                case "coordinator_kill":
                    number = kafka_wire.coordinator_of(anyone.port, self._target.group)
                case "broker_kill" | "broker_freeze" | "disk_full":
                    return anyone
        return self._kafka.brokers[number - 1] if number > 0 else None

    def _leader(self) -> int:
        """The leader of a partition of the messages, each in turn."""
        leaders = self._house.leaders(self._target.topic)
        return leaders[self._turn % len(leaders)] if leaders else -1


def _kill(broker: KafkaServer, down_s: float) -> None:
    broker.kill()
    time.sleep(down_s)
    broker.start()


def _freeze(broker: KafkaServer, frozen_s: float) -> None:
    """Stop its process past its session: the others depose it, and it wakes up and does not know it yet.

    Nobody's connection is closed meanwhile, as if every packet to and from it was lost.
    """
    kill(broker.pid, signal.SIGSTOP)
    time.sleep(frozen_s)
    kill(broker.pid, signal.SIGCONT)


def _fill(broker: KafkaServer, down_s: float) -> None:
    """Let no file of it grow any more, as on a full disk; it ends, and starts again on a larger one.

    A write past the limit fails (EFBIG), which a broker takes as it takes a full disk (ENOSPC): an I/O error
    of its only log folder, after which it ends by itself. Source: setrlimit(2).
    """
    resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    broker.await_end(FULL_WITHIN_S)
    time.sleep(down_s)
    broker.start()
