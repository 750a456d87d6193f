"""Proves a loaded graph against the original model's answers, on the device and in the precision in use.

The samples of `reference.npz` are read twice: together as one padded batch, and each alone. Both readings
must match the original's answers and each other, because a score must not depend on its neighbours. Where
there are heads, they must give the same scores as when they were fitted, and different risks for different
samples.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, get_args

import numpy as np

from engine.bundle import HEADS, Bundle, Heads, LabelToken, Manifest
from engine.bundle.reference import Reference
from engine.device_names import Output, Precision, Stage
from engine.devices.device import Floats
from engine.errors import BundleError, DeviceError
from engine.reading.engines import apply_heads
from engine.reading.reader import Reader


class Tolerance(NamedTuple):
    """How much a score may differ.

    Label logits are compared in logits, pooled vectors relative to their length, and the heads' scores in
    probability.

    With SmolLM2-135M (OpenVINO, AVX512_BF16, the 8 samples), bf16 logits differ by less than 0.1 and vectors
    by less than 0.03. In int8 the limits are those of bf16, and the differences are below 0.3 and 0.06.
    """

    label_logits: float
    pooled: float
    scores: float


TOLERANCES: Final[dict[Precision, Tolerance]] = {
    "fp32": Tolerance(1e-3, 1e-3, 0.005),
    "fp16": Tolerance(0.1, 0.02, 0.05),
    "bf16": Tolerance(0.3, 0.06, 0.1),
    "int8": Tolerance(0.3, 0.06, 0.1),
}
# How far the sums of the same numbers may differ between two machines.
_ROUNDING: Final = 1e-4
# Heads whose risks lie closer together than this are useless: fitted heads spread the samples over a tenth
# and more.
_CONSTANT: Final = 1e-4


class Differences(NamedTuple):
    """The largest differences: to the original, and between a row alone and in a padded batch.

    All are over all samples. `agreement` is the share of samples and stages that have the same highest label;
    it is 1 where no labels are read. `scores` compares the heads' scores on the device's vectors with the
    kept ones; it is 0 without heads.
    """

    original: float
    batch: float
    agreement: float
    scores: float = 0.0


def prove(reader: Reader, bundle: Bundle, output: Output) -> Differences:
    """Compare what `reader` computes with the bundle's reference.

    Raises DeviceError: a difference is above the precision's tolerance, or not a number. BundleError: the
    graph's output does not have the manifest's width, or the heads give other scores than the kept ones, or
    the same risk for all samples.
    """
    heads = bundle.heads if output == "pooled" and bundle.manifest.layer is not None else None
    found = compare(reader, bundle.reference, output, bundle.manifest, heads)
    precision = reader.device.precision
    tolerated: float = getattr(TOLERANCES[precision], output)
    # `difference > tolerated` would be false for NaN, and let it pass.
    if not (found.original <= tolerated and found.batch <= tolerated):
        what = "label logits" if output == "label_logits" else "pooled vectors"
        worst = _worst(found.original, found.batch)
        off = f"off by {worst:.2g}" if np.isfinite(worst) else "not finite"
        raise DeviceError(
            f"{reader.device.name} {precision} is not the original model: {what} are {off}, {tolerated:g} is "
            f"tolerated; set {'precision=fp32' if precision != 'fp32' else 'another device'} "
            f"or export {bundle.manifest.source.name} again for this device"
        )
    if heads is not None:
        prove_heads(heads, bundle)
    if not found.scores <= TOLERANCES[precision].scores:
        raise DeviceError(
            f"{reader.device.name} {precision} gives other scores than {HEADS} gave when it was fitted: they "
            f"are off by {found.scores:.2g}, {TOLERANCES[precision].scores:g} is tolerated; adapt "
            f"with --precision {precision}{' or set precision=fp32' if precision != 'fp32' else ''}"
        )
    return found


def prove_heads(heads: Heads, bundle: Bundle) -> None:
    """Compare the heads' scores with those kept when they were fitted. Needs no device.

    Raises BundleError: the scores differ, are not numbers, or are the same risk for all samples.
    """
    kept = bundle.reference.scores
    scores = head_scores(heads, bundle.reference.pooled)
    where = bundle.path / HEADS
    if kept.shape != scores.shape or not _worst(*np.abs(scores - kept).max(axis=0)) <= _ROUNDING:
        raise BundleError(
            f"{where} gives other scores than when it was fitted: copy the bundle, or adapt it, again"
        )
    if not np.ptp(scores[:, 0]) > _CONSTANT:
        raise BundleError(f"{where} gives every text the same risk: adapt it again, on other examples")
    if bundle.calibration and bundle.calibration.graded and not heads.severity_weight.any():
        raise BundleError(f"{where} gives every text the same severity: run `mimamori adapt` again")


def head_scores(heads: Heads, vectors: Floats) -> Floats:
    """The scores that a reference keeps: risk, then severity, of pooled vectors [N, H] -> [N, 1 + S]."""
    risks, severities = apply_heads(heads, vectors)
    return np.column_stack([risks, severities]).astype(np.float32)


def compare(
    reader: Reader, reference: Reference, output: Output, manifest: Manifest, heads: Heads | None = None
) -> Differences:
    """Return the differences, however large. Raises BundleError: the output is not as the manifest says."""
    expected: Floats = getattr(reference, output)
    rows = reference.rows_for(suffix=output == "label_logits")
    together = reader.together(rows)
    width = _width(manifest, output)
    if together.shape[1:] != width or expected.shape[1:] != width:
        raise BundleError(f"the graph gives {output} of {together.shape[1:]}, not {width}: export it again")
    alone = np.concatenate([reader.rows([row]) for row in rows])
    if output == "label_logits":
        stages = _stages(manifest.labels)
        apart = _worst(_logits_apart(together, expected, stages), _logits_apart(alone, expected, stages))
        return Differences(
            apart, _logits_apart(together, alone, stages), _agreement(together, expected, stages)
        )
    off = _worst(_vectors_apart(together, expected), _vectors_apart(alone, expected))
    scores = 0.0
    if heads is not None:
        both = [np.abs(head_scores(heads, read) - reference.scores) for read in (together, alone)]
        scores = _worst(*(float(apart.max()) for apart in both))
    return Differences(off, _vectors_apart(together, alone), 1.0, scores)


def _width(manifest: Manifest, output: Output) -> tuple[int, ...]:
    """The shape of one row's output."""
    if output == "label_logits":
        return (len(manifest.labels),)
    hidden = manifest.source.hidden_size
    return (hidden,) if manifest.layer is not None else (manifest.source.layers, hidden)


def _stages(labels: Sequence[LabelToken]) -> list[list[int]]:
    """The columns of each stage's labels."""
    columns = [
        [column for column, label in enumerate(labels) if label.stage == stage] for stage in get_args(Stage)
    ]
    return [each for each in columns if each]


def _logits_apart(actual: Floats, expected: Floats, stages: list[list[int]]) -> float:
    """The largest difference within a stage, without a shift of all its logits, which a softmax ignores."""
    apart = [actual[:, columns] - expected[:, columns] for columns in stages]
    return _worst(*(float(np.abs(each - each.mean(axis=1, keepdims=True)).max()) for each in apart))


def _vectors_apart(actual: Floats, expected: Floats) -> float:
    """The largest relative difference of a vector.

    Relative, because some models have values in the thousands.
    """
    lengths = np.linalg.norm(expected, axis=-1)
    return float((np.linalg.norm(actual - expected, axis=-1) / np.maximum(lengths, 1e-12)).max(initial=0.0))


def _worst(*differences: float) -> float:
    """The largest, or not-a-number where any is: Python's max would skip that."""
    return float(np.max([0.0, *differences]))


def _agreement(actual: Floats, expected: Floats, stages: list[list[int]]) -> float:
    same = [actual[:, columns].argmax(axis=1) == expected[:, columns].argmax(axis=1) for columns in stages]
    return float(np.mean(same)) if same else 1.0
