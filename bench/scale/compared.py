"""Compares the simulation with real workers on a real Kafka, at a small scale.

    python -m bench.scale.compared --json compared.json           a device of 2 ms a message that needs no CPU
    python -m bench.scale.compared --engine BUNDLE --seconds 40   the real model, on this machine's cores

A short run calibrates what each station of a worker takes (`calibration.py`): messages one by one, many at
once, and a stream. Then the scenario is run for real, and simulated with the moments at which messages were
really sent. Nothing is fitted to the runs that are compared. A wait is from `produce` until a read-committed
reader has the label. What else runs on the machine is measured meanwhile, by a process that does nothing but
sleep (`disturbance.py`).
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.lanes.job import Job
from bench.scale.arrivals import Burst, Exact, Traffic, exact
from bench.scale.calibration import Calibrated, calibrated, undelayed
from bench.scale.disturbance import Disturbed, disturbance
from bench.scale.driven import PARTITIONS, Run
from bench.scale.fleet import Fault, Group, simulate
from bench.scale.result import Waits
from bench.scale.spans import collecting
from bench.scale.station import Worker
from bench.yardstick.course import Course
from bench.yardstick.machine import describe
from bench.yardstick.ride import Lanes
from mimamori.sandbox import Sandbox

TRICKLE: Final = 80  # messages one by one, TRICKLE_S apart
TRICKLE_S: Final = 0.08
FLOOD: Final = 1500  # at once
MIXED_S: Final = 8.0
MIXED_LOAD: Final = 0.4


class Scenario(msgspec.Struct, frozen=True):
    """Loads are shares of what so many workers can do, as calibrated."""

    name: str
    workers: int
    load: float
    burst: float = 1.0  # so many times as much, from a third of the time on, for a sixth of it
    killed: bool = False  # one worker, after a fifth of the time, for good


SCENARIOS: Final = (
    Scenario("steady", 1, 0.5),
    Scenario("nearly full", 1, 0.85),
    Scenario("a burst", 1, 0.5, burst=4.0),
    Scenario("a burst, two workers", 2, 0.5, burst=4.0),
    Scenario("one of two killed", 2, 0.35, killed=True),
)


class Figures(msgspec.Struct, frozen=True):
    """Seconds, and the most messages that were sent and not yet labelled, looked at once a second."""

    p50: float
    p99: float
    worst_lag: int


class Row(msgspec.Struct, frozen=True):
    """One scenario: what was simulated, and what was measured.

    `own_times` is simulated with what the stations took in the run that was measured, and not what they took
    when they were calibrated.
    """

    scenario: str
    messages: int
    worker: Worker
    simulated: Figures
    own_times: Figures
    measured: Figures
    disturbed: Disturbed
    read: float  # ms a batch in the median, of this run: to see where the two differ
    batch: float  # messages
    committed: float  # ms a batch


def calibrate(run: Run, rate: float) -> Calibrated:
    """What a worker's stations take: of a message alone, of many, and of a stream at a share of `rate`."""
    calm = np.arange(TRICKLE, dtype=np.float64) * np.float64(TRICKLE_S)
    flood_at = float(calm[-1]) + 1.0
    mixed_at = flood_at + 2 * FLOOD / rate
    stream = exact(Traffic(rate=MIXED_LOAD * rate, seconds=MIXED_S), PARTITIONS, seed=11)
    times = [
        np.concatenate(
            [
                calm[place::PARTITIONS],
                np.full(FLOOD // PARTITIONS, flood_at),
                [mixed_at + stream.when(place, n + 1) for n in range(stream.by(place, np.inf))],
            ]
        )
        for place in range(PARTITIONS)
    ]
    _, waits, took = run.drive(1, Exact(times, mixed_at + MIXED_S))
    alone = undelayed([each for each in took if each.opened < flood_at - 0.5 and each.messages == 1])
    flood = [each for each in took if flood_at - 0.5 <= each.opened < mixed_at - 0.1 and each.messages > 1]
    mixed = [each for each in took if each.opened >= mixed_at - 0.1]
    first = sorted(waits)[:TRICKLE]
    return calibrated(alone, mixed, flood, float(np.median([waits[number] for number in first])))


def compare(run: Run, found: Calibrated, group: Group, scenario: Scenario, seconds: float) -> Row:
    """Run a scenario for real, and simulate it."""
    worker = found.worker
    rate = scenario.load * scenario.workers * worker.rate()
    bursts = (Burst(seconds / 3, seconds / 6, scenario.burst),) if scenario.burst > 1 else ()
    planned = exact(Traffic(rate=rate, seconds=seconds, bursts=bursts), PARTITIONS, seed=7)
    kill_at = seconds / 5 if scenario.killed else None
    with disturbance() as disturbed:
        sent, waits, took = run.drive(scenario.workers, planned, kill_at)
    faults = [] if kill_at is None else [Fault(kill_at, "kill", 1, back=False)]
    told, own = (
        simulate(sent, each, scenario.workers, group, faults) for each in (worker, found.varying_as(took))
    )
    return Row(
        scenario.name,
        sent.total(),
        msgspec.structs.replace(worker, read_more=(), commit_more=()),  # hundreds of numbers
        Figures(told.p50, told.p99, told.worst_lag),
        Figures(own.p50, own.p99, own.worst_lag),
        measured(sent, waits),
        disturbed(),
        1000 * float(np.median([each.screened - each.screening for each in took])),
        float(np.median([each.messages for each in took])),
        1000 * float(np.median([each.committed - each.committing for each in took])),
    )


def moments(sent: Exact) -> NDArray[np.float64]:
    """When each message was sent, in the order of sending."""
    return np.sort(
        np.concatenate([[sent.when(p, n + 1) for n in range(sent.by(p, np.inf))] for p in range(PARTITIONS)])
    )


def labelled(sent: Exact, waits: dict[int, float]) -> NDArray[np.float64]:
    """When labels could be read, in order."""
    return np.sort(moments(sent) + np.array([waits[number] for number in sorted(waits)]))


def measured(sent: Exact, waits: dict[int, float]) -> Figures:
    """The same figures of what was measured."""
    noted = Waits()
    for each in waits.values():
        noted.note(each)
    ends = labelled(sent, waits)
    looks = np.arange(0.0, ends[-1] + 1.0)
    lag = moments(sent).searchsorted(looks, "right") - ends.searchsorted(looks, "right")
    return Figures(noted.quantile(0.5), noted.quantile(0.99), int(lag.max()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Calibrate, run every scenario, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", type=Path, help="a bundle: the real engine instead of a simulated device")
    parser.add_argument("--service-ms", type=float, default=2.0, help="of the simulated device, a message")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each scenario (default: 30)")
    parser.add_argument(
        "--gap", type=float, default=0.25, help="seconds of a rebalance: docs/benchmarks/rolling.md (0.25)"
    )
    parser.add_argument("--rate", type=float, help="about so many messages a second, with --engine")
    parser.add_argument("--scenarios", default="", help="only those with this in their names")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    group = Group(gap_s=options.gap)
    with Sandbox(redis=False) as sandbox, tempfile.TemporaryDirectory() as folder, collecting() as batches:
        course = Course(sandbox.bootstrap, PARTITIONS)
        course.lay("compared.")
        job = Job(sandbox.bootstrap, "", "compared.messages", "compared.", folder)
        if options.engine:
            job = replace(job, bundle=str(options.engine.resolve()))
        else:
            job = replace(job, seconds_per_message=options.service_ms / 1000)
        run = Run(Lanes(course, job), job, batches)
        found = calibrate(run, options.rate or 1000 / options.service_ms)  # warms the broker
        for scenario in SCENARIOS:
            if options.scenarios not in scenario.name:
                continue
            found = calibrate(run, found.worker.rate())  # anew, as other jobs on the machine come and go
            rows.append(compare(run, found, group, scenario, options.seconds))
            print(line(rows[-1]), flush=True)
            if options.json:
                save(rows, group, options.json)


def save(rows: list[Row], group: Group, file: Path) -> None:
    """Write what was found so far."""
    figures: dict[str, Any] = {
        "machine": describe(),
        "load": os.getloadavg(),
        "group": msgspec.to_builtins(group),
        "rows": msgspec.to_builtins(rows),
    }
    file.write_text(json.dumps(figures, indent=1) + "\n")


def line(row: Row) -> str:
    """One row of the table: simulated / measured."""
    told, own, found, worker = row.simulated, row.own_times, row.measured, row.worker
    return (
        f"{row.scenario:22}{row.messages:7} messages: p50 {told.p50:7.3f} / {found.p50:7.3f} s, "
        f"p99 {told.p99:7.3f} / {found.p99:7.3f} s ({told.p99 / found.p99 - 1:+.0%}; with the run's own "
        f"times {own.p99:.3f}, {own.p99 / found.p99 - 1:+.0%}), most waiting "
        f"{told.worst_lag:6} / {found.worst_lag:6}\n"
        f"    calibrated: reading {1000 * worker.batch_s:.1f} ms a batch and {1000 * worker.message_s:.3f} a "
        f"message, commit {1000 * worker.commit_s:.1f} and {1000 * worker.commit_message_s:.3f}, on the way "
        f"{1000 * worker.transit_s:.1f}\n"
        f"    in the run: batches of {row.batch:.0f}, reading {row.read:.1f} ms, commit {row.committed:.1f}; "
        f"asleep too long: p99 {row.disturbed.p99_ms:.1f} ms, most {row.disturbed.most_ms:.0f}, "
        f"before: {row.disturbed.load:.0f} in the run queue"
    )


if __name__ == "__main__":
    main()
