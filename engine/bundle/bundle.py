"""Reads a bundle's folder and verifies all of it. Nothing here imports a device library."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import msgspec
import numpy as np

from engine.bundle.calibration import CALIBRATION, LARGEST, Calibration, Statement, read_calibration
from engine.bundle.expected import DRIFT, read_expected, restated_as
from engine.bundle.expected import LARGEST as LARGEST_DRIFT
from engine.bundle.files import (
    Seen,
    regular,
    require_listed,
    require_only,
    require_same,
    require_sizes,
    sha256,
)
from engine.bundle.heads import HEADS, SHALLOW_HEADS, Heads, read_heads
from engine.bundle.manifest import MANIFEST, Manifest, read_manifest
from engine.bundle.reference import REFERENCE, SHALLOW_REFERENCE, Reference
from engine.bundle.signature import SIGNATURE, Trust
from engine.drift import Expected
from engine.errors import BundleError, SettingsError
from engine.identity import PROMPTED, Cascade, ScoreIdentity, Windowing, require_fitted
from engine.odds import Odds, restated
from schemas.events import Thresholds

MODEL: Final = "model.onnx"
DEEPER: Final = "deeper.onnx"
WEIGHTS: Final = "model.onnx.data"
TOKENIZER: Final = "tokenizer.json"
# The size in bytes that no real file reaches. Weights have no limit, because they are never read into memory.
_LARGEST: Final = {
    TOKENIZER: 64 << 20,
    MODEL: 16 << 20,
    DEEPER: 16 << 20,
    REFERENCE: 128 << 20,
    SHALLOW_REFERENCE: 128 << 20,
    HEADS: 64 << 20,
    SHALLOW_HEADS: 64 << 20,
    CALIBRATION: LARGEST,
    DRIFT: LARGEST_DRIFT,
}


def weights_of(model: str) -> str:
    """The name of the file that holds the large weights of the graph `model`."""
    return f"{model}.data"


class Shallow(msgspec.Struct, frozen=True):
    """A cascade's shallow reading: its depth, its heads, and what they and the model say of samples."""

    depth: int
    heads: Heads
    reference: Reference


class Bundle(msgspec.Struct, frozen=True):
    """A bundle whose files were all verified. `heads` and `reference` are those of its full depth.

    `expected` says which messages it was made for, if known.
    """

    path: Path
    manifest: Manifest
    fingerprint: str
    reference: Reference
    heads: Heads | None
    calibration: Calibration | None
    seen: dict[str, Seen] = {}
    shallow: Shallow | None = None
    expected: Expected | None = None

    def thresholds_for(
        self, scored_by: ScoreIdentity, lower: float | None = None, upper: float | None = None
    ) -> Thresholds:
        """The thresholds for scores of `scored_by`: given ones, else the calibration's or the task's.

        A calibration's thresholds hold only for the scores that they were fitted on. The task's thresholds
        were not fitted and hold for any scores, and so do given ones if both are given.

        Raises BundleError: the calibration's thresholds would govern other scores. SettingsError: lower is
        above upper.
        """
        if self.calibration is None:
            policy = self.manifest.task.policy
            fitted = Thresholds(policy.lower, policy.upper, "none: the task's default thresholds")
        else:
            if lower is None or upper is None:
                require_fitted(self.calibration.fitted_on, scored_by, self.path / CALIBRATION)
            fitted = self.calibration.thresholds
        chosen = Thresholds(
            fitted.lower if lower is None else lower, fitted.upper if upper is None else upper, "settings"
        )
        if chosen.lower > chosen.upper:
            raise SettingsError(
                f"MIMAMORI_LOWER and MIMAMORI_UPPER leave lower {chosen.lower} above upper {chosen.upper}"
            )
        own = None not in {lower, upper} or (chosen.lower, chosen.upper) != (fitted.lower, fitted.upper)
        return chosen if own else fitted

    def statement_of(self, thresholds: Thresholds) -> Statement | None:
        """What is stated of `thresholds`, if they are those that `mimamori calibrate` set."""
        said = None if self.calibration is None else self.calibration.statement
        return said if self.calibration is not None and thresholds == self.calibration.thresholds else None

    @property
    def windowing(self) -> Windowing:
        """How messages are cut: as when the thresholds were fitted, or the prompted reading's windows."""
        return PROMPTED if self.calibration is None else self.calibration.fitted_on.windowing

    @property
    def cascade(self) -> Cascade | None:
        """Where a message may stop, as when the thresholds were fitted; None where all are read in full."""
        return None if self.calibration is None else self.calibration.fitted_on.cascade

    def at_shallow_depth(self) -> Self:
        """The shallow reading of a cascade as a bundle of its own, to read with and to prove.

        Raises BundleError: this bundle is no cascade.
        """
        if self.shallow is None:
            raise BundleError(f"{self.path} is no cascade: run `mimamori adapt` with --traffic")
        return msgspec.structs.replace(
            self,
            manifest=msgspec.structs.replace(self.manifest, layer=self.shallow.depth, shallow=None),
            heads=self.shallow.heads,
            reference=self.shallow.reference,
            shallow=None,
        )

    @property
    def odds(self) -> Odds | None:
        """How risks are restated: as when the thresholds were fitted."""
        return None if self.calibration is None else self.calibration.fitted_on.odds

    @property
    def fitted_precision(self) -> str | None:
        """The precision of the scores that the thresholds were fitted on; None where they were not fitted."""
        return None if self.calibration is None else self.calibration.fitted_on.precision

    @property
    def highest(self) -> float | None:
        """The highest risk known of an example or a reference text; None before a bundle is adapted."""
        return None if self.calibration is None else _highest(self.calibration, self.reference)

    @classmethod
    def load(
        cls, path: Path, progress: Callable[[int], None] | None = None, trust: Trust | None = None
    ) -> Self:
        """Read a bundle and check every file against its checksum; `progress` gets the number of bytes read.

        Raises BundleError: a file is missing or altered, the format is another one, the bundle is not what
        `trust` asks for, an adapted bundle lacks its heads, or the folder holds or the graph reads a file
        that bundle.json does not list.
        """
        manifest, fingerprint = read_manifest(path, trust)
        for name in (MODEL, TOKENIZER, REFERENCE):
            if name not in manifest.files:
                raise BundleError(f"{path / MANIFEST} lists no {name}: build the bundle again")
        require_only(path, {*manifest.files, MANIFEST, SIGNATURE})
        require_sizes(path, {name: most for name, most in _LARGEST.items() if name in manifest.files})
        seen = {name: regular(path / name) for name in manifest.files}
        for name, expected in manifest.files.items():
            actual = sha256(path / name, progress)
            if actual != expected:
                raise BundleError(
                    f"{path / name} is not the file the bundle was made with: build the bundle again"
                )
        for name in {MODEL, DEEPER}.intersection(manifest.files):
            require_listed(path / name, manifest.files)
        heads = read_heads(path, manifest) if HEADS in manifest.files else None
        calibration = read_calibration(path / CALIBRATION) if CALIBRATION in manifest.files else None
        reference = Reference.load(path / REFERENCE)
        if manifest.reading == "pooled":
            _require_adapted(path, heads, calibration, reference)
        shallow = _read_shallow(path, manifest, calibration)
        drift = read_expected(path / DRIFT) if DRIFT in manifest.files else None
        if drift is not None and calibration is not None:
            drift = restated_as(drift, calibration.fitted_on.odds)
        bundle = cls(path, manifest, fingerprint, reference, heads, calibration, seen, shallow, drift)
        bundle.require_same()
        return bundle

    def require_same(self) -> None:
        """Raise BundleError where a file was changed since it was checked.

        Call it when all files are open.
        """
        require_same(self.path, self.seen)


def _require_adapted(
    path: Path, heads: Heads | None, calibration: Calibration | None, reference: Reference
) -> None:
    if heads is None or calibration is None:
        raise BundleError(
            f"{path} reads pooled vectors but has no {HEADS} or {CALIBRATION}: run `mimamori adapt`"
        )
    if not reference.scores.shape[1]:
        raise BundleError(
            f"{path} was adapted by an earlier version, which kept no scores to prove its heads by: "
            "run `mimamori adapt` again"
        )
    highest = _highest(calibration, reference)
    if not calibration.lower < 1 or not calibration.lower <= highest:
        raise BundleError(
            f"{path / CALIBRATION}: lower is {calibration.lower:g} and the highest score known {highest:g}, "
            "so that everything would be clear: run `mimamori adapt` again"
        )


def _read_shallow(path: Path, manifest: Manifest, calibration: Calibration | None) -> Shallow | None:
    """Read what only a cascade has. Raises BundleError: a part of it is missing, or does not belong to it."""
    kept = {DEEPER, SHALLOW_HEADS, SHALLOW_REFERENCE}
    found = kept.intersection(manifest.files)
    depth, cascade = manifest.shallow, None if calibration is None else calibration.fitted_on.cascade
    if depth is None and cascade is None and not found:
        return None
    if found != kept or cascade is None or (cascade.depth, cascade.full) != (depth, manifest.layer):
        raise BundleError(
            f"{path} is half a cascade: {MANIFEST}, {CALIBRATION} and the files {', '.join(sorted(kept))} "
            "do not belong together: run `mimamori adapt` again"
        )
    return Shallow(
        cascade.depth,
        read_heads(path, manifest, SHALLOW_HEADS),
        Reference.load(path / SHALLOW_REFERENCE),
    )


def _highest(calibration: Calibration, reference: Reference) -> float:
    known = restated(reference.scores[:, :1].astype(np.float64), calibration.fitted_on.odds)
    return max(calibration.highest, float(known.max(initial=0.0)))
