"""What is simulated at each rate: an ordinary stretch, and what goes wrong in it."""

import math
from collections.abc import Callable
from typing import Final

import msgspec

from bench.scale.arrivals import Burst, Traffic, counted
from bench.scale.fleet import Fault, Group, simulate
from bench.scale.keda import Policy, Scaling
from bench.scale.limits import HEADROOM, PARTITIONS_EACH, workers
from bench.scale.result import Outcome
from bench.scale.station import Worker

FLURRY: Final = 3.0  # messages of a conversation in a row: assumed
GAP_S: Final = 2.0  # of a rebalance: bench.scale.groups
START_S: Final = 30.0  # of a pod: 4.5 s to its first score (docs/benchmarks/engine.md); the rest is assumed
HOT: Final = 2.0  # a conversation's messages, in what one worker reads


class Case(msgspec.Struct, frozen=True):
    """One simulation. `fault` and `scaling` are made for so many workers."""

    name: str
    seconds: float
    burst: float = 1.0
    swing: float = 0.0
    hot: float = 0.0
    fault: Callable[[int], Fault] | None = None
    scaling: Callable[[int, Worker], Scaling] | None = None


def _chart(count: int, worker: Worker) -> Scaling:
    """As the chart has it, but for how many there may be, and the threshold that `mimamori size` says."""
    return Scaling(lag_threshold=5 * worker.rate(), least=1, most=2 * count)


def _shares(count: int, worker: Worker) -> Scaling:
    """By shares of what there is, in place of pods one by one."""
    up, down = Policy(2, 60.0, share=0.5), Policy(1, 120.0, share=0.1)
    return msgspec.structs.replace(_chart(count, worker), up=up, down=down)


CASES: Final = (
    Case("nothing happens", 120),
    Case("twice as many for a minute", 300, burst=2.0),
    Case("one worker is killed", 180, fault=lambda _: Fault(60, "kill", 1)),
    Case("a zone is lost: a third is killed", 300, fault=lambda count: Fault(60, "kill", max(1, count // 3))),
    Case("a roll-out, a tenth at a time", 480, fault=lambda count: Fault(30, "roll", max(1, count // 10))),
    Case("one conversation as fast as two workers", 180, hot=HOT),
    Case("a day's swing in a quarter of an hour, KEDA as the chart has it", 900, swing=0.5, scaling=_chart),
    Case("the same, KEDA by shares", 900, swing=0.5, scaling=_shares),
)


class Told(msgspec.Struct, frozen=True):
    """What a simulation said. `calm_s`: from the trouble on, until no more waits than 5 s of messages."""

    case: str
    rate: float
    workers: int
    messages: int
    unlabelled: int
    p50: float
    p99: float
    worst_lag: int
    most_workers: int
    read_twice: int
    rebalances: int
    calm_s: float | None  # None: never
    took_s: float


def run(case: Case, rate: float, worker: Worker, seed: int) -> Outcome:
    """Simulate one case at one rate."""
    count = workers(rate, worker)
    hot = case.hot * worker.rate() if case.hot else 0.0
    mean = rate / (1 + case.swing)  # the rate is that of the peak
    traffic = Traffic(
        rate=mean,
        seconds=case.seconds,
        day=case.swing,
        day_s=case.seconds,
        bursts=(Burst(60, 60, case.burst),) if case.burst > 1 else (),
        flurry=FLURRY,
        hot=hot,
        hot_at=60.0,
    )
    partitions = PARTITIONS_EACH * count * (2 if case.scaling else 1)
    return simulate(
        counted(traffic, partitions, seed, step_s=0.1 if case.seconds < 900 else 0.5),
        worker,
        workers(mean, worker),
        Group(gap_s=GAP_S, start_s=START_S),
        [case.fault(count)] if case.fault else [],
        case.scaling(count, worker) if case.scaling else None,
        patience_s=120.0,
        samples=2,  # of half a thousand batches a second and more
    )


def told(case: Case, rate: float, worker: Worker, outcome: Outcome, took_s: float) -> Told:
    """One row of the table."""
    calm = outcome.calm_after(60.0, 5 * rate / (1 - HEADROOM))
    return Told(
        case=case.name,
        rate=rate,
        workers=workers(rate, worker),
        messages=outcome.messages,
        unlabelled=outcome.messages - outcome.labelled,
        p50=outcome.p50,
        p99=outcome.p99,
        worst_lag=outcome.worst_lag,
        most_workers=outcome.most_workers,
        read_twice=outcome.read_twice,
        rebalances=outcome.rebalances,
        calm_s=calm if calm < math.inf else None,
        took_s=took_s,
    )
