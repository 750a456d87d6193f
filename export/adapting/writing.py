"""Writes what was fitted into the folder of a cut graph, which becomes a bundle by it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from engine.bundle import CALIBRATION, HEADS, SHALLOW_HEADS, Bundle, Calibration, Heads, write_manifest
from engine.bundle.manifest import with_files
from engine.bundle.reference import REFERENCE, SHALLOW_REFERENCE, Reference
from engine.identity import MAX_MESSAGE_TOKENS, Cascade
from engine.load import identity_of
from engine.proof import head_scores
from export.adapting.fit import Fitted
from export.examples import LabelledExample


def graded(examples: Sequence[LabelledExample]) -> int:
    """How many examples have a severity."""
    return sum(example.severity is not None for example in examples)


def write_adapted(
    cut: Bundle, fitted: Fitted, examples: Sequence[LabelledExample], digest: str, precision: str
) -> str:
    """Write heads, references, calibration and manifest, and return the bundle's fingerprint.

    `digest` identifies the examples, `precision` is the one that their scores were computed in.
    """
    heads, bounds, windowing = fitted.heads, fitted.bounds, fitted.windowing
    kept = msgspec.structs.replace(cut.reference, scores=head_scores(heads, cut.reference.pooled))
    kept.save(cut.path / REFERENCE)
    _save(heads, cut.path / HEADS)
    cascade = None
    if fitted.shallow is not None and cut.manifest.shallow is not None and cut.manifest.layer is not None:
        cascade = Cascade(cut.manifest.shallow, cut.manifest.layer, bounds.lower)
        _save(fitted.shallow, cut.path / SHALLOW_HEADS)
        seen = Reference.load(cut.path / SHALLOW_REFERENCE)
        kept = msgspec.structs.replace(seen, scores=head_scores(fitted.shallow, seen.pooled))
        kept.save(cut.path / SHALLOW_REFERENCE)
    calibration = Calibration(
        name=f"examples-{digest}",
        lower=bounds.lower,
        upper=bounds.upper,
        tolerated_miss_rate=cut.manifest.task.policy.tolerated_miss_rate,
        examples=len(examples),
        positives=sum(example.at_risk for example in examples),
        fitted_on=identity_of(
            with_files(cut.path, cut.manifest),
            windowing,
            bounds.lower,
            precision,
            MAX_MESSAGE_TOKENS,
            cascade=cascade,
        ),
        highest=float(fitted.risks.max()),
        graded=graded(examples),
        adapted_on=digest,
    )
    (cut.path / CALIBRATION).write_bytes(
        msgspec.json.format(msgspec.json.encode(calibration), indent=2) + b"\n"
    )
    return write_manifest(cut.path, cut.manifest)


def _save(heads: Heads, path: Path) -> None:
    np.savez(path, **{name: getattr(heads, name) for name in heads.__struct_fields__})
