"""Distilling, as `adapt` asks for it: hear the traffic, ask the teacher, trace the curve, choose a depth.

The method is in `distilling.py`. One graph is open at a time: the bundle's, cut where the teacher reads, for
the traffic; a visiting teacher's, for its opinion; then one of each depth, for its rate on this device.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from threadpoolctl import threadpool_limits

from engine.bundle import Bundle
from engine.errors import TaskError
from engine.load import engine_on
from export.adapting.cut import cut_bundle
from export.adapting.distilling import KEEP, Reading, judged, own_teacher, shallowest, student, trace
from export.adapting.heads import (
    Chosen,
    Grade,
    Ints,
    Learn,
    Levels,
    Vectors,
    from_labels,
    grade_from_labels,
    out_of_fold,
)
from export.adapting.rates import Open, between, measure, worth_measuring
from export.adapting.teachers import require_teacher, visiting
from export.adapting.traffic import MOST, Traffic, gather, read_layers, stretches
from export.rate import BATCH, messages_per_second

Progress = Callable[[str, int, int], None]


class Distillation(NamedTuple):
    """What `adapt` is asked to distil. `depth` is that of the student; without it, `keep` decides.

    `texts` are unlabelled messages, of which up to `most` are learnt from. `teacher` is an adapted bundle;
    without one, the head that is fitted on the labelled examples teaches.
    """

    texts: Iterable[str]
    teacher: Path | None = None
    keep: float = KEEP
    depth: int | None = None
    most: int = MOST


class Point(Reading, frozen=True):
    """A depth of the curve and its rate, which is interpolated where it was not `measured` on this device."""

    messages_per_second: float
    measured: bool


class Distilled(msgspec.Struct, frozen=True):
    """What was distilled, and every depth that could have been. `teacher` ends the curve.

    `refitted`: what judged an example had not seen its label, teacher included. It is false where a visiting
    teacher was adapted on other examples, which are taken not to be among these. `keep` is None where a depth
    was asked for.
    """

    teacher: Point
    taught_by: str
    refitted: bool
    messages: int
    seen: int
    empty: int
    repeated: int
    labelled: int
    keep: float | None
    depth: int
    kept: float
    faster: float
    curve: tuple[Point, ...]


class Heard(NamedTuple):
    """The traffic, the stretches that were read of it, and the vectors of each layer that was needed."""

    traffic: Traffic
    stretches: list[str]
    vectors: Vectors
    teacher: Bundle | None


class Choice(NamedTuple):
    """How the heads are fitted, and what is told of it."""

    chosen: Chosen
    learn: Learn
    grade: Grade
    told: Distilled


def require_sensible(asked: Distillation, full: Bundle) -> None:
    """Raise TaskError or BundleError for what can be refused before anything is read."""
    if not 0 < asked.keep <= 1:
        raise TaskError(
            f"--keep {asked.keep:g} is no share of the teacher's AUC: give 0.98 or another up to 1"
        )
    layers = full.manifest.source.layers
    if asked.depth is not None and not 1 <= asked.depth <= layers:
        raise TaskError(f"--depth {asked.depth}: the model has layers 1 to {layers}")
    if asked.teacher is not None:
        require_teacher(Bundle.load(asked.teacher), full.manifest.task)


def hear(
    asked: Distillation,
    open_: Open,
    examples: Sequence[str],
    full: Bundle,
    layer: int,
    beside: Path,
    progress: Progress,
) -> Heard:
    """Gather the traffic and read it as deep as it is needed. Raises as `gather` and `load_engine` do."""
    teacher = None if asked.teacher is None else Bundle.load(asked.teacher)
    deepest = layer - 1 if teacher is None else full.manifest.source.layers
    if not deepest or (asked.depth is not None and asked.depth > deepest):
        what = f"layers 1 to {deepest} are" if deepest else "no layer is"
        raise TaskError(
            f"the head reads layer {layer}, and {what} shallower: give another --depth, "
            "or adapt without --traffic"
        )
    traffic = gather(asked.texts, examples, asked.most)
    depth = layer if teacher is None else deepest
    progress("read the traffic", 0, 1)
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".depth-", dir=beside) as folder:
        reader = open_(cut_bundle(full, depth, Path(folder), borrowed=True, piled=True))
        drawn = stretches(reader, traffic.texts)
        vectors = read_layers(reader, drawn, depth, _stage(progress, "read the traffic"))
    return Heard(traffic, drawn, vectors, teacher)


def distil(
    asked: Distillation,
    heard: Heard,
    vectors: Vectors,
    chosen: Chosen,
    labels: Ints,
    levels: Levels,
    examples: Sequence[str],
    full: Bundle,
    open_: Open,
    beside: Path,
    digest: str,
    progress: Progress,
) -> Choice:
    """Trace the curve and choose. `vectors` are the examples', `chosen` is the head fitted on their labels.

    `digest` is that of the examples: a visiting teacher that was adapted on them is found out. Graphs are
    timed in a folder made in `beside`.

    Raises TaskError: no student keeps enough. DeviceError and BundleError: as `load_engine` does.
    """
    timed = heard.traffic.texts[:BATCH]
    if heard.teacher is None:
        teacher = own_teacher(
            vectors, chosen, labels, levels, heard.vectors.layer(chosen.layer), "the adapted head"
        )
        refitted, own_rate = True, None
    else:
        reader = open_(heard.teacher)
        own_rate = messages_per_second(engine_on(reader, heard.teacher), timed)
        calibration = heard.teacher.calibration
        refitted = calibration is not None and calibration.name.endswith(digest)
        teacher = visiting(
            heard.teacher,
            reader,
            examples,
            labels,
            levels,
            heard.stretches,
            full.manifest.source.layers,
            _stage(progress, "ask the teacher"),
            adapted_on_these=refitted,
        )
        del reader
    # More threads of the linear algebra library wait for one another, ten times as long on a busy machine.
    with threadpool_limits(1, "blas"):
        curve = trace(vectors, labels, heard.vectors, teacher, _stage(progress, "trace the curve"))
        best = judged(teacher, labels)
        depth = asked.depth or shallowest(curve, best, asked.keep) or _fallback(curve, best, asked)
        if depth > teacher.deepest:
            learn, grade = from_labels(labels, chosen.strength), grade_from_labels(levels, chosen.strength)
        else:
            taught = student(heard.vectors.layer(depth), teacher)
            learn, grade = taught.learn, taught.grade
            decisions = out_of_fold(vectors, depth, labels, learn)
            chosen = chosen._replace(layer=depth, decisions=decisions)
    depths = [reading.depth for reading in curve]
    if heard.teacher is None:
        depths.append(best.depth)
    measured = worth_measuring(depths, depth)
    rates = measure(full, measured, timed, open_, beside, _stage(progress, "time each depth"))
    every = between(rates, depths)
    points = tuple(_point(reading, every[reading.depth], reading.depth in rates) for reading in curve)
    at_top = _point(best, every[best.depth] if own_rate is None else own_rate, measured=True)
    taken = next((point for point in points if point.depth == depth), at_top)
    told = Distilled(
        teacher=at_top,
        taught_by=teacher.name,
        refitted=refitted,
        messages=len(heard.traffic.texts),
        seen=heard.traffic.seen,
        empty=heard.traffic.empty,
        repeated=heard.traffic.repeated,
        labelled=heard.traffic.labelled,
        keep=None if asked.depth else asked.keep,
        depth=depth,
        kept=taken.auc / at_top.auc,
        faster=taken.messages_per_second / at_top.messages_per_second,
        curve=points,
    )
    return Choice(chosen, learn, grade, told)


def _fallback(curve: Sequence[Reading], best: Reading, asked: Distillation) -> int:
    """The depth where no student keeps enough: the head itself, if it is of this network."""
    if asked.teacher is None:
        return best.depth
    nearest = max(curve, key=lambda reading: reading.auc)
    raise TaskError(
        f"no depth keeps {asked.keep:.0%} of the teacher's AUC of {best.auc:.3f}: depth {nearest.depth} "
        f"comes nearest, with {nearest.auc:.3f}; lower --keep, or give --depth {nearest.depth}"
    )


def _point(reading: Reading, rate: float, measured: bool) -> Point:  # noqa: FBT001 - read where it is called
    figures = msgspec.structs.asdict(reading)
    return Point(**figures, messages_per_second=rate, measured=measured)


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)
