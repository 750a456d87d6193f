"""Fits heads and thresholds at the chosen layer, on texts read exactly as the engine will read messages."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from engine.bundle import Heads
from engine.devices.stacked import StackedDevice
from engine.disguise.variant import vary
from engine.errors import TaskError
from engine.identity import Windowing
from engine.odds import sigmoid
from engine.reading.engines import discounted, logit
from engine.reading.reader import Reader
from engine.task import Task
from export.adapting.heads import (
    Array,
    Chosen,
    Grade,
    Ints,
    Learn,
    Levels,
    Vectors,
    fit_platt,
    out_of_fold,
)
from export.adapting.stopping import Depth
from export.adapting.thresholds import Bounds, conformal_bounds
from export.adapting.windowing import Read, choose_windowing, read_windows
from export.examples import LabelledExample


class Fitted(NamedTuple):
    """The heads, with the windowing and thresholds fitted for them. `risks` [N] are out-of-fold.

    `shallow` are the heads of a cascade's shallow depth, where messages stop below `bounds.lower`.
    """

    heads: Heads
    windowing: Windowing
    risks: Array
    bounds: Bounds
    shallow: Heads | None = None


class _Calibrated(NamedTuple):
    """Heads of one depth, with the calibration in them, and the out-of-fold risk of each text [R]."""

    heads: Heads
    risks: Array


def fit(
    reader: Reader,
    vectors: Vectors,
    chosen: Chosen,
    labels: Ints,
    examples: Sequence[LabelledExample],
    task: Task,
    learn: Learn,
    grade: Grade,
    shallow: Depth | None = None,
) -> Fitted:
    """Fit heads by `learn` and `grade` on all examples, and thresholds on scores made as at run time.

    So a disguised text is read twice, as the engine does (`engine.disguise.twice`). The calibration goes into
    the risk head's weight and bias. `reader` reads to the full depth; of a cascade, `shallow` is the depth at
    which messages may stop, and one threshold is fitted for both.
    """
    texts = [example.text for example in examples]
    rate = task.policy.tolerated_miss_rate
    means = vectors.means(vectors.layer(chosen.layer))
    with threadpool_limits(1, "blas"):
        platt = fit_platt(chosen.decisions, labels)
        alone = platt.slope * chosen.decisions + platt.shift
        lower = logit(conformal_bounds(sigmoid(alone), labels, rate).lower)
        windowing = choose_windowing(reader, texts, means, labels, learn, platt, lower, rate)
        variants = [(owner, varied.text) for owner, varied in enumerate(map(vary, texts)) if varied.text]
        owners = np.array([*range(len(texts)), *(owner for owner, _ in variants)], np.int64)
        every = [*texts, *(variant for _, variant in variants)]
        read = read_windows(reader, every, windowing)
        deep = _calibrated(read, means, labels, owners, learn, grade)
        if shallow is None or not isinstance(reader.device, StackedDevice):
            first, stop = None, 0.0
            lower = conformal_bounds(_highest(deep.risks, owners), labels, rate).lower
        else:
            first = _calibrated(
                read_windows(reader.on(reader.device.shallow), every, windowing),
                vectors.means(vectors.layer(shallow.layer)),
                labels,
                owners,
                shallow.learn,
                shallow.grade,
            )
            # A text is missed if either depth puts it below the threshold, and of two readings of it both do.
            either = _highest(np.minimum(first.risks, deep.risks), owners)
            lower = stop = conformal_bounds(either, labels, rate).lower
    each = np.array(
        [
            discounted(risk, count, windowing.discount, lower)
            for risk, count in zip(deep.risks.tolist(), read.counts.tolist(), strict=True)
        ]
    )
    if first is not None:
        each = np.where(first.risks < stop, first.risks, each)
    # A discount moves no risk across `lower`, so the lower bound fitted again here stays as it was.
    risks = _highest(each, owners)
    bounds = conformal_bounds(risks, labels, rate)
    if first is not None:
        # Where messages stop was fitted with `lower`, which so stays what it is.
        bounds = Bounds(lower, max(lower, bounds.upper))
    return Fitted(deep.heads, windowing, risks, bounds, None if first is None else first.heads)


def _calibrated(
    read: Read, means: Array, labels: Ints, owners: Ints, learn: Learn, grade: Grade
) -> _Calibrated:
    """Fit the heads of one depth by `learn` and `grade` to the examples' `means` [N, H], and calibrate them.

    `read` holds their texts' windows at this depth, of all that `owners` says which example they belong to.
    Raises TaskError: the heads rank others no better than chance.
    """
    windowed = Vectors(read.windows[:, np.newaxis].astype(np.float32), read.starts)
    decisions = out_of_fold(windowed, 1, labels, learn, owners)
    risk = learn(means, np.arange(len(labels)))
    platt = fit_platt(_highest(decisions, owners), labels)
    severity = grade(means, risk)
    heads = Heads(
        mean=risk.mean.astype(np.float32),
        scale=risk.scale.astype(np.float32),
        risk_weight=(platt.slope * risk.weight).astype(np.float32),
        risk_bias=np.array(platt.slope * risk.bias + platt.shift, np.float32),
        severity_weight=severity[0].astype(np.float32),
        severity_bias=severity[1].astype(np.float32),
    )
    if not platt.slope > 0:
        raise TaskError(
            "heads fitted on these examples rank others no better than chance: check the labels, bring more"
        )
    return _Calibrated(heads, sigmoid(platt.slope * decisions + platt.shift))


def levels_of(examples: Sequence[LabelledExample], task: Task) -> Levels:
    """The levels of those examples that have a severity."""
    graded = [index for index, example in enumerate(examples) if example.severity is not None]
    levels = [task.level_names.index(examples[index].severity or "") for index in graded]
    return Levels(np.array(graded, np.int64), np.array(levels, np.int64), len(task.level_names))


def _highest(values: Array, owners: Ints) -> Array:
    """Return each example's riskier reading [N]: of its text as written, or of the text a disguise hides."""
    highest = np.full(int(owners.max()) + 1, -np.inf)
    np.maximum.at(highest, owners, values)
    return highest
