"""Makes the plan of faults: which strikes when, whom and for how long. Pure: equal seeds make equal plans.

A fault is due by outcomes rather than seconds, so that the plan fits a machine of any speed: it strikes once
a certain number of messages have their outcome. A short random delay follows, so that it may hit any moment
in the cycle of a batch. The seed cannot determine which instruction a process is at; so the logs of a failed
run are kept.
"""

import random
from typing import Final, Literal, get_args

import msgspec

# Strikes one worker.
GateKind = Literal["kafka_cut", "kafka_latency", "kafka_silence"]
# On hosts of their own: packets are dropped in silence between a worker and every broker, or one of them, or
# some of all; and between a broker and everyone, or the other brokers alone, or some of all.
WorkerPacketKind = Literal["worker_cut", "worker_half_cut", "worker_loss"]
BrokerPacketKind = Literal["broker_cut", "broker_split", "broker_loss"]
PacketKind = Literal[WorkerPacketKind, BrokerPacketKind]
WorkerKind = Literal["kill", "zombie", "usurp", "storm", GateKind, WorkerPacketKind]
RedisKind = Literal["redis_flush", "redis_kill", "redis_cut", "redis_latency"]
# Strikes one of several brokers: the leader of a partition of the messages, the controllers' leader, or the
# coordinator of the workers' group or of a worker's transactions is killed; the controllers' leader is shut
# down in order, so that it hands over all that it leads, or all leaders move to where they were at first;
# any one is frozen and wakes up deposed, or its disk is full.
ClusterKind = Literal[
    "leader_kill",
    "controller_kill",
    "coordinator_kill",
    "transaction_kill",
    "broker_stop",
    "leaders_move",
    "broker_freeze",
    "disk_full",
]
BrokerKind = Literal["broker_kill", ClusterKind, BrokerPacketKind]
Kind = Literal[WorkerKind, RedisKind, BrokerKind]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

SESSION_S: Final = 3.0  # the workers' session timeout in a soak
BROKER_SESSION_S: Final = 6.0  # the same with the protocol `consumer`, which has it from the sandbox's broker
LOSS: Final = (0.05, 0.3)  # the share of packets lost
LATENCY_S: Final = 5.0


class Shape(msgspec.Struct, frozen=True):
    """How many faults of a kind a plan has per kill (at least one in all), and how many seconds they last."""

    per_kill: float
    lasts_s: tuple[float, float]


SHAPES: Final[dict[Kind, Shape]] = {
    "kill": Shape(1, (0, 0)),
    "zombie": Shape(1 / 30, (SESSION_S + 0.5, BROKER_SESSION_S + 2)),
    "usurp": Shape(1 / 50, (0.5, 2)),
    "storm": Shape(1 / 50, (0.5, 4)),
    "broker_kill": Shape(1 / 100, (0, 1)),
    "kafka_cut": Shape(1 / 20, (0, 2)),
    "kafka_latency": Shape(1 / 100, (6, 9)),
    "kafka_silence": Shape(1 / 100, (4, 9)),
    "leader_kill": Shape(1 / 30, (0, 4)),
    "controller_kill": Shape(1 / 50, (0, 4)),
    "coordinator_kill": Shape(1 / 50, (0, 4)),
    "broker_freeze": Shape(1 / 50, (4, 8)),
    "disk_full": Shape(1 / 100, (0, 2)),
    "transaction_kill": Shape(1 / 30, (0, 4)),
    "broker_stop": Shape(1 / 50, (0, 2)),
    "leaders_move": Shape(1 / 30, (0, 0)),
    "worker_cut": Shape(1 / 20, (4, 20)),
    "worker_half_cut": Shape(1 / 30, (4, 20)),
    "worker_loss": Shape(1 / 30, (4, 15)),
    "broker_cut": Shape(1 / 20, (4, 20)),
    "broker_split": Shape(1 / 20, (4, 20)),
    "broker_loss": Shape(1 / 30, (4, 15)),
    "redis_flush": Shape(1 / 30, (0, 0)),
    "redis_kill": Shape(1 / 50, (0, 2)),
    "redis_cut": Shape(1 / 50, (0, 2)),
    "redis_latency": Shape(1 / 100, (2, 5)),
}
# Faults strike between these shares of all records, so that the stream works before the first and after the
# last fault.
FIRST, LAST = 0.02, 0.95
LONGEST_DELAY_S = 0.3


class Fault(msgspec.Struct, frozen=True):
    """One fault. It strikes `delay_s` after `at` messages have outcomes; a server's has the slot -1.

    `share` is that of the packets lost, where some are.
    """

    at: int
    delay_s: float
    kind: Kind
    slot: int
    lasts_s: float
    share: float = 1.0


def kinds(brokers: int, *, network: bool = False) -> tuple[Kind, ...]:
    """The kinds of faults that so many brokers can take: one that is alone can only be killed.

    In a `network` of its own, packets are lost on the way instead of in a proxy.
    """
    without: set[Kind] = set(get_args(ClusterKind)) if brokers == 1 else {"broker_kill"}
    without |= set(get_args(GateKind)) if network else set(get_args(PacketKind))
    return tuple(kind for kind in KINDS if kind not in without)


def plan(
    seed: int, records: int, kills: int, workers: int, brokers: int = 1, *, network: bool = False
) -> list[Fault]:
    """Return all faults of a run in order: `kills` of the kind kill (SIGKILL), and the others in proportion.

    There is at least one fault of each kind, but without kills there are no faults at all.
    """
    draw = random.Random(seed)  # noqa: S311 - it must be repeatable
    faults = [
        Fault(
            at=int(records * draw.uniform(FIRST, LAST)),
            delay_s=round(draw.uniform(0, LONGEST_DELAY_S), 3),
            kind=kind,
            slot=draw.randrange(workers) if kind in get_args(WorkerKind) else -1,
            lasts_s=round(draw.uniform(*shape.lasts_s), 3),
            share=round(draw.uniform(*LOSS), 2) if kind in {"worker_loss", "broker_loss"} else 1.0,
        )
        for kind in kinds(brokers, network=network)
        for shape in (SHAPES[kind],)
        for _ in range(max(1, round(kills * shape.per_kill)) if kills else 0)
    ]
    return sorted(faults, key=lambda fault: (fault.at, fault.delay_s))
