"""An adapted bundle, of any family, as the teacher of another: the texts are all that they share."""

from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from engine.bundle import Bundle
from engine.errors import BundleError
from engine.reading.reader import Reader
from engine.task import Task
from export.adapting.distilling import Teacher, own_teacher
from export.adapting.heads import Array, Ints, Levels, Linear, Vectors, choose
from export.adapting.traffic import read_layers
from export.adapting.windowing import UNCUT, read_windows


def require_teacher(bundle: Bundle, task: Task) -> None:
    """Raise BundleError where `bundle` has nothing to teach for `task`."""
    if bundle.heads is None or bundle.calibration is None or bundle.manifest.layer is None:
        raise BundleError(f"{bundle.path} has no heads to teach with: run `mimamori adapt` on it first")
    if bundle.manifest.task.name != task.name:
        raise BundleError(
            f"{bundle.path} screens for {bundle.manifest.task.name} and cannot teach {task.name}: "
            "give a --teacher that was adapted for this task"
        )


def visiting(
    bundle: Bundle,
    reader: Reader,
    examples: Sequence[str],
    labels: Ints,
    levels: Levels,
    traffic: Sequence[str],
    deepest: int,
    progress: Callable[[int, int], None],
    *,
    adapted_on_these: bool,
) -> Teacher:
    """The teacher that `bundle` is, when its open graph `reader` has read the examples and the traffic.

    One that was adapted on these very examples is fitted again without each fold of them, or their labels
    would leak into the figures. Of another its own head teaches, which has not seen them.
    """
    read = read_windows(reader, examples, UNCUT)
    vectors = Vectors(read.windows[:, np.newaxis].astype(np.float32), read.starts)
    heard = read_layers(reader, traffic, 1, progress).layer(1)
    layer = bundle.manifest.layer or 0
    name = f"layer {layer} of {bundle.manifest.source.name}"
    if adapted_on_these:
        with threadpool_limits(1, "blas"):
            chosen = choose(vectors, labels, lambda *_: None)
            return own_teacher(vectors, chosen, labels, levels, heard, name)._replace(
                layer=layer, deepest=deepest
            )
    head = _risk_head(bundle)
    values: Array = head(heard)
    decisions = vectors.highest(head(vectors.layer(1)))
    return Teacher(name, layer, deepest, lambda _: values, decisions, _grades(bundle, heard))


def _risk_head(bundle: Bundle) -> Linear:
    assert bundle.heads is not None  # noqa: S101 - required before
    heads = bundle.heads
    mean, scale, weight = (
        np.asarray(array, np.float64) for array in (heads.mean, heads.scale, heads.risk_weight)
    )
    return Linear(mean, scale, weight, float(heads.risk_bias))


def _grades(bundle: Bundle, vectors: Array) -> Array:
    assert bundle.heads is not None  # noqa: S101 - required before
    heads = bundle.heads
    graded = (vectors - heads.mean) / heads.scale @ heads.severity_weight.T + heads.severity_bias
    return np.asarray(graded, np.float64)
