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
from export.adapting.cut import trim
from export.adapting.distilling import KEEP, Reading, judged, own_teacher, shallowest, trace
from export.adapting.heads import (
    Chosen,
    Grade,
    Ints,
    Learn,
    Levels,
    Vectors,
    from_labels,
    grade_from_labels,
)
from export.adapting.rates import Open, between, measure, worth_measuring
from export.adapting.stopping import Depth, Weighed, weigh
from export.adapting.teachers import require_teacher, visiting
from export.adapting.traffic import MOST, Traffic, gather, read_layers, stretches
from export.building.staging import writing
from export.rate import BATCH, messages_per_second

Progress = Callable[[str, int, int], None]


class Distillation(NamedTuple):
    """What `adapt` is asked to distil. `depth` is that of the student; without it, `keep` decides.

    `texts` are unlabelled messages, of which up to `most` are learnt from. `teacher` is an adapted bundle;
    without one, the head that is fitted on the labelled examples teaches. `cascade`: whether messages may
    stop at a depth before that; None where expected cost decides.
    """

    texts: Iterable[str]
    teacher: Path | None = None
    keep: float = KEEP
    depth: int | None = None
    most: int = MOST
    cascade: bool | None = None


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
    cascade: Weighed | None = None


class Choice(NamedTuple):
    """How the heads are fitted, and what is told of it. `shallow` is where messages may stop, if anywhere."""

    chosen: Chosen
    learn: Learn
    grade: Grade
    told: Distilled
    shallow: Depth | None


def prepare(asked: Distillation, full: Bundle, examples: Sequence[str]) -> Traffic:
    """Gather the traffic, before a model is opened.

    Raises TaskError or BundleError for whatever of `asked` can be refused by then.
    """
    if not 0 < asked.keep <= 1:
        raise TaskError(
            f"--keep {asked.keep:g} is no share of the teacher's AUC: give 0.98 or another up to 1"
        )
    layers = full.manifest.source.layers
    if asked.depth is not None and not 1 <= asked.depth <= layers:
        raise TaskError(f"--depth {asked.depth}: the model has layers 1 to {layers}")
    if asked.teacher is not None:
        require_teacher(Bundle.load(asked.teacher), full.manifest.task)
    return gather(asked.texts, examples, asked.most)


def distil(
    asked: Distillation,
    traffic: Traffic,
    vectors: Vectors,
    chosen: Chosen,
    labels: Ints,
    levels: Levels,
    examples: Sequence[str],
    full: Bundle,
    open_: Open,
    out: Path,
    digest: str,
    progress: Progress,
) -> Choice:
    """Read the traffic, trace the curve and choose.

    `vectors` are the examples', `chosen` is the head fitted on their labels, and `digest` tells a visiting
    teacher that was adapted on them. Graphs lie for that long in a folder beside `out`.

    Raises TaskError: there is no such depth, or no student keeps enough. BundleError: there is no room for
    the graphs. DeviceError and BundleError: as `load_engine` does.
    """
    visitor = None if asked.teacher is None else Bundle.load(asked.teacher)
    deepest = chosen.layer - 1 if visitor is None else full.manifest.source.layers
    _require_depth(asked, chosen.layer, deepest)
    progress("read the traffic", 0, 1)
    with writing(out), tempfile.TemporaryDirectory(prefix=".distil-", dir=out.parent) as folder:
        layers = chosen.layer if visitor is None else deepest
        trimmed = trim(full, layers, Path(folder))
        manifest = msgspec.structs.replace(full.manifest, reading="pooled", layer=layers)
        reader = open_(msgspec.structs.replace(trimmed, manifest=manifest))
        drawn = stretches(reader, traffic.texts)
        heard = read_layers(reader, drawn, layers, _stage(progress, "read the traffic"))
        del reader
        timed = traffic.texts[:BATCH]
        if visitor is None:
            teacher = own_teacher(
                vectors, chosen, labels, levels, heard.layer(chosen.layer), "the adapted head"
            )
            refitted, own_rate = True, None
        else:
            reader = open_(visitor)
            own_rate = messages_per_second(engine_on(reader, visitor), timed)
            calibration = visitor.calibration
            refitted = calibration is not None and calibration.adapted_digest == digest
            teacher = visiting(
                visitor,
                reader,
                examples,
                labels,
                levels,
                drawn,
                deepest,
                _stage(progress, "ask the teacher"),
                adapted_on_these=refitted,
            )
            del reader
        # More threads of the linear algebra wait for one another, ten times as long on a busy machine.
        with threadpool_limits(1, "blas"):
            curve, students = trace(vectors, labels, heard, teacher, _stage(progress, "trace the curve"))
            best = judged(teacher, labels)
            depth = asked.depth or shallowest(curve, best, asked.keep) or _fallback(curve, best, asked)
            if depth > teacher.deepest:
                learn, grade = (
                    from_labels(labels),
                    grade_from_labels(levels),
                )
            else:
                taught = students[depth - 1]
                learn, grade = taught.learn, taught.grade
                chosen = chosen._replace(layer=depth, decisions=taught.decisions)
        depths = [reading.depth for reading in curve]
        if visitor is None:
            depths.append(best.depth)
        measured = worth_measuring(depths, depth)
        rates = measure(trimmed, measured, timed, open_, _stage(progress, "time each depth"))
    every = between(rates, depths)
    with threadpool_limits(1, "blas"):
        weighed, stop = weigh(
            Depth(chosen.layer, learn, grade, chosen.decisions),
            [
                Depth(reading.depth, each.learn, each.grade, each.decisions)
                for reading, each in zip(curve, students, strict=True)
                if reading.depth < depth
            ],
            vectors,
            labels,
            heard,
            every,
            full.manifest.task.policy.tolerated_miss_rate,
            wanted=asked.cascade,
        )
    points = tuple(_point(reading, every[reading.depth], reading.depth in rates) for reading in curve)
    at_top = _point(best, every[best.depth] if own_rate is None else own_rate, measured=True)
    taken = next((point for point in points if point.depth == depth), at_top)
    told = Distilled(
        teacher=at_top,
        taught_by=teacher.name,
        refitted=refitted,
        messages=len(traffic.texts),
        seen=traffic.seen,
        empty=traffic.empty,
        repeated=traffic.repeated,
        labelled=traffic.labelled,
        keep=None if asked.depth else asked.keep,
        depth=depth,
        kept=taken.auc / at_top.auc,
        faster=taken.messages_per_second / at_top.messages_per_second,
        curve=points,
        cascade=weighed,
    )
    return Choice(chosen, learn, grade, told, stop)


def _require_depth(asked: Distillation, layer: int, deepest: int) -> None:
    # The head's own layer may be the full depth of a cascade; a visiting teacher has none of this network.
    most = deepest + (asked.teacher is None)
    if not deepest or (asked.depth is not None and asked.depth > most):
        what = f"layers 1 to {deepest} are" if deepest else "no layer is"
        raise TaskError(
            f"the head reads layer {layer}, and {what} shallower: give another --depth, "
            "or adapt without --traffic"
        )


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
