"""Proves a loaded graph against the original model's answers, on the device and in the precision that run.

The samples of `reference.npz` are read twice: together as one padded batch, and each alone. Both must be
what the original answered, and the same as each other: a score must not depend on its neighbours. Where there
are heads, what they make of the vectors must be what they made of them when they were fitted, and tell the
samples apart.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, get_args

import numpy as np

from engine.bundle import HEADS, Bundle, Heads, LabelToken, Manifest
from engine.bundle.reference import Reference
from engine.devices.device import Floats
from engine.errors import BundleError, DeviceError
from engine.reading.engines import apply_heads
from engine.reading.reader import Reader
from engine.vocabulary import Output, Precision, Stage


class Tolerance(NamedTuple):
    """How far a score may be off.

    Label logits in logits, pooled vectors relative to their length, what heads make of them in probability.

    SmolLM2-135M (OpenVINO, AVX512_BF16, the 8 samples): in bf16 logits below 0.1, vectors below 0.03; in
    int8, which must be as good as bf16 is required to be, below 0.3 and 0.06.
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
# Two machines' sums of the same numbers.
_ROUNDING: Final = 1e-4
# Risks that lie closer together tell nobody apart: fitted heads spread the samples over a tenth and more.
_CONSTANT: Final = 1e-4


class Differences(NamedTuple):
    """The largest over all samples: from the original, and between a row alone and in a padded batch.

    `agreement` is the share of samples and stages with the same highest label; 1 where none are read.
    `scores`: the heads' on the device's vectors against those kept; 0 where there are no heads.
    """

    original: float
    batch: float
    agreement: float
    scores: float = 0.0


def prove(reader: Reader, bundle: Bundle, output: Output) -> Differences:
    """Compare what `reader` reads with the bundle's reference.

    Raises DeviceError: a difference is above the precision's tolerance, or not a number. BundleError: the
    graph's output is not of the manifest's width, or the heads are not those whose scores were kept, or tell
    nothing apart.
    """
    heads = bundle.heads if output == "pooled" and bundle.manifest.layer is not None else None
    found = compare(reader, bundle.reference, output, bundle.manifest, heads)
    precision = reader.device.precision
    tolerated: float = getattr(TOLERANCES[precision], output)
    # Not `difference > tolerated`: that lets NaN through.
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
    """Hold the heads against the scores that were kept when they were fitted. Needs no device.

    Raises BundleError: they give others, no numbers, or all samples the same risk.
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
    """What a reference keeps: risk, then severity, of pooled vectors [N, H] -> [N, 1 + S]."""
    risks, severities = apply_heads(heads, vectors)
    return np.column_stack([risks, severities]).astype(np.float32)


def compare(
    reader: Reader, reference: Reference, output: Output, manifest: Manifest, heads: Heads | None = None
) -> Differences:
    """The differences, whatever they are. Raises BundleError: the output is not as the manifest says."""
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
    """Within each stage, without what its logits share: a softmax does not see that."""
    apart = [actual[:, columns] - expected[:, columns] for columns in stages]
    return _worst(*(float(np.abs(each - each.mean(axis=1, keepdims=True)).max()) for each in apart))


def _vectors_apart(actual: Floats, expected: Floats) -> float:
    """Per vector: some models keep values in the thousands in a few dimensions."""
    lengths = np.linalg.norm(expected, axis=-1)
    return float((np.linalg.norm(actual - expected, axis=-1) / np.maximum(lengths, 1e-12)).max(initial=0.0))


def _worst(*differences: float) -> float:
    """The largest, or not a number where one is none: Python's max would pass over it."""
    return float(np.max([0.0, *differences]))


def _agreement(actual: Floats, expected: Floats, stages: list[list[int]]) -> float:
    same = [actual[:, columns].argmax(axis=1) == expected[:, columns].argmax(axis=1) for columns in stages]
    return float(np.mean(same)) if same else 1.0
