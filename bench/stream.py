"""Measures the stream around the model: this worker and its peers on one warm Kafka, in interleaved rounds.

    make bench-stream                         install the peers, measure all, write docs/benchmarks/stream.md
    python -m bench.stream --quick            a first look
    python -m bench.stream --engine BUNDLE    also compare the real engine in the stream with it offline

Every lane is a process of its own that reads the same topic from its start, and writes one label per record.
The lanes run one at a time, and each round begins with another one. The engine is canned, since the stream is
measured and not the model. Rates are medians of the rounds, in records a second that the group committed.
Afterwards a read-committed reader counts the outcomes of each round, and a lane that lost one gets no rate.
Figures depend on the machine: compare within one run.
"""

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import confluent_kafka as ck
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.lanes import LANES
from bench.lanes.job import Job
from bench.yardstick import corpus
from bench.yardstick.course import Course
from bench.yardstick.machine import describe
from bench.yardstick.paced import latency
from bench.yardstick.real_engine import RealEngine, compare
from bench.yardstick.ride import LaneError, Lanes
from bench.yardstick.scaling import Scale, scale
from bench.yardstick.stream_page import markdown, plot, terminal
from bench.yardstick.stream_report import OURS, StreamReport
from mimamori.sandbox import Sandbox
from mimamori.sizing import CONSTANTS

Say = Callable[[str], None]
ROOT = Path(__file__).resolve().parents[1]
OUR_LANES = (OURS, "mimamori at-least-once", "mimamori no notes")
PARTITIONS = 4
MALFORMED = 100_000
WARM_UP_S = 3.0


def main() -> int:
    """Measure, print, and write the files that were asked for."""
    options = arguments()
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with (
        Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar,
        Sandbox(redis=False) as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        line = bar.add_task("look around")
        report = measured(options, sandbox.bootstrap, folder, lambda text: bar.update(line, description=text))
    terminal(report, Console())
    command = shlex.join(["python", "-m", "bench.stream", *_public(sys.argv[1:])])
    if options.docs:
        page = ROOT / "docs" / "benchmarks" / "stream.md"
        page.write_text(markdown(report, command))
        constants = json.loads(CONSTANTS.read_text()) | report.constants(command)
        CONSTANTS.write_text(json.dumps(constants, indent=2) + "\n")
        try:
            plot(report, page.with_suffix(".png"))
        except ImportError:
            console.print("no plot: pip install --no-deps -r bench/peers.txt")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return int(not report.rates(OURS, "repeated"))


def measured(options: argparse.Namespace, bootstrap: str, folder: str, say: Say) -> StreamReport:
    """Measure everything that the options ask for."""
    report = StreamReport(describe(), options.records)
    names = []
    for name in options.lanes:
        entry = LANES[name]
        if entry.missing:
            report.missing[name] = f"{', '.join(entry.missing)} not installed: {entry.install}"
        else:
            names.append(name)
    job = Job(bootstrap, "", "", "outcomes.", folder)
    lanes = Lanes(Course(bootstrap, PARTITIONS), job)
    for prefix in ("outcomes.", "repeated.", "distinct.", "malformed.", "paced.", "engine."):
        lanes.course.lay(prefix)
    say("fill the topics")
    for mix, count in topics(options).items():
        lanes.course.fill(f"{mix}.messages", getattr(corpus, mix)(count))
    drain(lanes, report, names, options, say)
    if not options.no_latency:
        paced(lanes, report, names, options, say)
    # The page names a part that failed, and keeps what was measured before.
    if options.engine:
        try:
            report.engine = real_engine(lanes, options, say)
        except (LaneError, ck.KafkaException) as error:
            report.missing["the real engine"] = str(error)
    for workers, partitions in [] if options.no_scaling else product((1, 2, 4), (2, 4)):
        say(f"scaling: {workers} workers, {partitions} partitions")
        try:
            report.scales.append(scaled(job, workers, partitions, options.service_ms / 1000))
        except (LaneError, ck.KafkaException) as error:
            report.missing[f"{workers} workers, {partitions} partitions"] = str(error)
    return report


def real_engine(lanes: Lanes, options: argparse.Namespace, say: Say) -> RealEngine:
    """Measure the real engine in the stream, and offline."""
    values = [value for _, value in corpus.distinct(options.engine_messages) if value is not None]
    # One key, so one partition: the worker reads the texts in the same order as the engine offline.
    lanes.course.fill("engine.messages", ((b"one conversation", value) for value in values))
    return compare(lanes, "engine.messages", options.engine.resolve(), values, options.rounds, say)


def scaled(job: Job, workers: int, partitions: int, seconds_per_message: float) -> Scale:
    """Measure several numbers of workers, on topics of their own."""
    course, prefix = Course(job.bootstrap, partitions), f"scale{workers}x{partitions}."
    course.lay(prefix)
    total = 4000 * min(workers, partitions)
    course.fill(f"{prefix}messages", corpus.distinct(total))
    lanes = Lanes(course, replace(job, prefix=prefix))
    return scale(lanes, f"{prefix}messages", workers, seconds_per_message, total)


def topics(options: argparse.Namespace) -> dict[str, int]:
    """The number of records of each mix."""
    return {"repeated": options.records, "distinct": options.records, "malformed": MALFORMED}


def drain(
    lanes: Lanes, report: StreamReport, names: Iterable[str], options: argparse.Namespace, say: Say
) -> None:
    """Run rounds over every lane and mix. The first one is not counted, since it warms the broker's JVM."""
    rides = [(name, "repeated") for name in names]
    rides += [(name, mix) for name in names if name in OUR_LANES for mix in ("distinct", "malformed")]
    for number in range(options.rounds + 1):
        turn = number % len(rides)
        for name, mix in rides[turn:] + rides[:turn]:
            if name in report.missing:
                continue
            say(f"{'round ' + str(number) if number else 'warm up'}: {name}, {mix}")
            try:
                job = lanes.job(f"{mix}.messages")
                # A slow lane reads as many as fit into its time. Of malformed records, it must meet every
                # reason.
                most = 60.0 if mix == "malformed" else options.seconds if number else WARM_UP_S
                ride = lanes.ride(name, job, topics(options)[mix], most)
            except LaneError as error:
                report.missing[name] = str(error)
                continue
            if ride.lost:
                report.missing[name] = f"lost {ride.lost} of {ride.committed} records"
            elif mix == "malformed" and ride.reasons != corpus.expected_reasons(MALFORMED):
                report.missing[name] = f"wrong reasons of dead letters: {ride.reasons}"
            elif number:
                report.note(name, mix, ride)


def paced(
    lanes: Lanes, report: StreamReport, names: Iterable[str], options: argparse.Namespace, say: Say
) -> None:
    """Measure latency at one pace for all lanes, and at half of each lane's own rate."""
    for name in names:
        rates = report.rates(name, "repeated")
        if not rates:
            continue
        for kind, pace in (("common", options.pace), ("half", statistics.median(rates) / 2)):
            say(f"latency: {name} at {pace:.0f} a second")
            try:
                found = latency(lanes, name, "paced.messages", pace, options.seconds)
            except LaneError as error:
                report.latency_failed[name, kind] = str(error)
            else:
                report.latencies[name, kind] = found


def _public(arguments: list[str]) -> list[str]:
    """The command line, without this machine's paths."""
    return [str(Path(each).name) if "/" in each else each for each in arguments]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="lanes:\n" + "\n".join(f"  {name:24} {entry.idea}" for name, entry in LANES.items()),
    )
    parser.add_argument("--lanes", type=_lanes, default=list(LANES), help="a,b (default: all)")
    parser.add_argument("--records", type=int, default=200_000, help="on each topic (default: 200,000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each lane (default: 5)")
    parser.add_argument("--seconds", type=float, default=8.0, help="most for one round (default: 8)")
    parser.add_argument("--pace", type=float, default=1000.0, help="messages a second for latency")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 60,000 records: a first look")
    parser.add_argument("--engine", type=Path, help="a bundle: the real engine, end to end beside offline")
    parser.add_argument("--engine-messages", type=int, default=1000, help="how many it reads a round")
    parser.add_argument("--service-ms", type=float, default=2.0, help="of the simulated device, a message")
    parser.add_argument("--no-latency", action="store_true", help="leave out the paced part")
    parser.add_argument("--no-scaling", action="store_true", help="leave out 1, 2 and 4 workers")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks/stream.* and sizing.json")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.records, options.seconds = 2, 60_000, 4.0
    return options


def _lanes(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := set(names) - set(LANES):
        raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there is {', '.join(LANES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
