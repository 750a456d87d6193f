"""The plan of faults: which, when, to whom, for how long. Pure: the same seed makes the same plan.

"When" counts outcomes, not seconds: a fault is due once so many messages have their outcome, plus a short
random delay, so that it falls anywhere in the cycle of a batch and the plan fits a machine of any speed.
What the seed cannot fix is which instruction a process was at; a run that fails is kept with its logs.
"""

import random
from typing import Final, Literal, get_args

import msgspec

WorkerKind = Literal["kill", "zombie", "usurp", "storm", "kafka_cut", "kafka_latency"]  # strikes one worker
ServerKind = Literal["broker_kill", "redis_flush", "redis_kill", "redis_cut", "redis_latency"]
Kind = Literal[WorkerKind, ServerKind]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

SESSION_S: Final = 3.0  # the workers' session timeout in a soak
LATENCY_S: Final = 5.0


class Shape(msgspec.Struct, frozen=True):
    """How a kind of fault is dealt out: how many per kill (at least one), and its length in seconds."""

    per_kill: float
    lasts_s: tuple[float, float]


SHAPES: Final[dict[Kind, Shape]] = {
    "kill": Shape(1, (0, 0)),
    "zombie": Shape(1 / 30, (SESSION_S + 0.5, SESSION_S + 2)),
    "usurp": Shape(1 / 50, (0.5, 2)),
    "storm": Shape(1 / 50, (0.5, 4)),
    "broker_kill": Shape(1 / 100, (0, 1)),
    "kafka_cut": Shape(1 / 20, (0, 2)),
    "kafka_latency": Shape(1 / 100, (6, 9)),
    "redis_flush": Shape(1 / 30, (0, 0)),
    "redis_kill": Shape(1 / 50, (0, 2)),
    "redis_cut": Shape(1 / 50, (0, 2)),
    "redis_latency": Shape(1 / 100, (2, 5)),
}
FIRST, LAST = 0.02, 0.95  # of all records: the first faults meet a working stream, the last leave it one
LONGEST_DELAY_S = 0.3


class Fault(msgspec.Struct, frozen=True):
    """One fault. Due once `at` messages have outcomes, and `delay_s` later; `slot` is -1 for a server's."""

    at: int
    delay_s: float
    kind: Kind
    slot: int
    lasts_s: float


def plan(seed: int, records: int, kills: int, workers: int) -> list[Fault]:
    """Every fault of a run in order: `kills` kill -9, and of each other kind in proportion, at least one.

    Without kills there are no faults at all.
    """
    draw = random.Random(seed)  # noqa: S311 - must be repeatable
    faults = [
        Fault(
            at=int(records * draw.uniform(FIRST, LAST)),
            delay_s=round(draw.uniform(0, LONGEST_DELAY_S), 3),
            kind=kind,
            slot=draw.randrange(workers) if kind in get_args(WorkerKind) else -1,
            lasts_s=round(draw.uniform(*shape.lasts_s), 3),
        )
        for kind, shape in SHAPES.items()
        for _ in range(max(1, round(kills * shape.per_kill)) if kills else 0)
    ]
    return sorted(faults, key=lambda fault: (fault.at, fault.delay_s))
