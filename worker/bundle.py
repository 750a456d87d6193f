"""Reads and verifies a model bundle: the folder that holds everything one worker needs to screen.

    model.onnx + model.onnx.data   the broadcast-prefix graph (cut at a layer, once adapted)
    tokenizer.json                 read by `tokenizers`, without transformers
    bundle.json                    the Manifest below: source, task, prompt, label tokens, checksums
    reference.npz                  what the original model answers to samples (worker.reference)
    heads.npz, calibration.json    once adapted: the linear heads and the thresholds
    bundle.sig                     once signed (worker.signature)

The fingerprint is the sha256 of bundle.json, which holds the sha256 of every other file but the signature:
it stands on every label and in every cache key. What bundle.json does not list is not opened. Nothing here
imports a device library.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.events import Thresholds
from worker.archive import ArchiveError, read_arrays
from worker.bundle_files import (
    Seen,
    decode,
    is_name,
    read,
    regular,
    require_listed,
    require_only,
    require_same,
    require_sizes,
    sha256,
)
from worker.errors import BundleError
from worker.reference import REFERENCE, Reference
from worker.signature import SIGNATURE, Trust
from worker.task import Task

FORMAT = 2
MANIFEST = "bundle.json"
MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"
TOKENIZER = "tokenizer.json"
HEADS = "heads.npz"
CALIBRATION = "calibration.json"
# Bytes that no real one reaches; the weights may be of any size, and are never held.
_LARGEST = {TOKENIZER: 64 << 20, MODEL: 16 << 20, REFERENCE: 128 << 20, HEADS: 64 << 20, CALIBRATION: 1 << 20}
_LARGEST_MANIFEST = 1 << 20

Reading = Literal["prompted", "pooled"]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model a bundle was exported from, and the shapes the graph's inputs need."""

    name: str
    revision: str
    family: str
    layers: int
    hidden_size: int
    kv_heads: int
    head_dim: int
    context: int


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """prefix | message | suffix, chat template applied. Tokenised apart, without special tokens."""

    prefix: str
    risk_suffix: str
    severity_suffix: str


class LabelToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A label, its token, and (by its place in the list) its column of `label_logits`."""

    stage: Literal["risk", "severity"]
    name: str
    token_id: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """bundle.json. `layer` is the last layer of a cut graph, None at full depth.

    `labels` lists the columns of `label_logits`: risk (clear, at_risk), then severity, least first.
    `parity` holds the export gate's figures for each device and precision it ran; `files` the sha256 of
    every other file. `form` is how the graph computes attention (`export.forms`). `prefix` says where the
    prefix is: bound to the graph, or in each row.
    """

    source: Source
    task: Task
    prompt: Prompt
    labels: tuple[LabelToken, ...]
    reading: Reading
    precision: Literal["fp32", "fp16"]  # that the graph stores
    opset: int
    form: str
    parity: dict[str, dict[str, float]]
    files: dict[str, str]
    layer: int | None = None
    format: int = FORMAT
    prefix: Literal["bound", "in_row"] = "bound"

    @property
    def bound(self) -> bool:
        """Whether the prefix runs once, its keys and values bound; only then is there a pooled reading."""
        return self.prefix == "bound"

    def __post_init__(self) -> None:
        """Refuse files that are not in the bundle's folder."""
        for name in self.files:
            if not is_name(name) or name in {MANIFEST, SIGNATURE}:
                raise ValueError(f"files lists {name[:100]!r}, which is no file of a bundle")


class Windowing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a message is read: up to `whole` tokens in one piece, a longer one in windows; the riskiest counts.

    A window has at most `tokens`. With `sentences` it ends where a sentence ends, and only a sentence that is
    longer is cut into windows that share `overlap`; without, all of the message is. Of many windows the
    riskiest is riskier by chance alone, so `discount` x ln(windows) is taken from its log-odds, though never
    so much that a message becomes clear. Thresholds hold only for scores that were read as they were fitted.
    """

    tokens: int
    overlap: int
    whole: int
    sentences: bool
    discount: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no message can be cut by."""
        if not 0 <= self.overlap < self.tokens <= self.whole:
            raise ValueError("windows need 0 <= overlap < tokens <= whole")
        if not 0.0 <= self.discount < math.inf:
            raise ValueError("a discount is 0 or more")


# A prompt asks about all it was given: no shorter window was measured to be better.
PROMPTED: Final = Windowing(tokens=256, overlap=32, whole=256, sentences=False)


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """calibration.json: where the thresholds come from, and how messages are read for them.

    `name` goes on every label. `highest` is the highest score of an example by heads that had not seen it.
    `graded` counts the examples with a severity.
    """

    name: str
    lower: float
    upper: float
    tolerated_miss_rate: float
    examples: int
    positives: int
    windowing: Windowing
    highest: float = 1.0
    graded: int = 0

    def __post_init__(self) -> None:
        """Refuse thresholds that would clear everything, or mean nothing."""
        if not 0.0 <= self.lower <= self.upper <= 1.0:
            raise ValueError("a calibration needs 0 <= lower <= upper <= 1")
        if not 0.0 <= self.highest <= 1.0:
            raise ValueError("a calibration needs 0 <= highest <= 1")


class Heads(msgspec.Struct, frozen=True):
    """heads.npz: standardise the pooled vector, then two linear heads. H hidden, S severity levels."""

    mean: NDArray[np.float32]  # [H]
    scale: NDArray[np.float32]  # [H]
    risk_weight: NDArray[np.float32]  # [H]
    risk_bias: NDArray[np.float32]  # []
    severity_weight: NDArray[np.float32]  # [S, H]
    severity_bias: NDArray[np.float32]  # [S]


class Bundle(msgspec.Struct, frozen=True):
    """A verified bundle."""

    path: Path
    manifest: Manifest
    fingerprint: str
    reference: Reference
    heads: Heads | None
    calibration: Calibration | None
    seen: dict[str, Seen] = {}

    @property
    def thresholds(self) -> Thresholds:
        """The calibration's, or the task's defaults where there is none."""
        if self.calibration is not None:
            return Thresholds(self.calibration.lower, self.calibration.upper, self.calibration.name)
        policy = self.manifest.task.policy
        return Thresholds(policy.lower, policy.upper, "none: the task's default thresholds")

    @property
    def windowing(self) -> Windowing:
        """How its messages are read: as the thresholds were fitted, or in the prompted reading's windows."""
        return PROMPTED if self.calibration is None else self.calibration.windowing

    @property
    def highest(self) -> float | None:
        """The highest risk seen in an example or a reference text; None before a bundle is adapted."""
        return None if self.calibration is None else _highest(self.calibration, self.reference)

    @classmethod
    def load(
        cls, path: Path, progress: Callable[[int], None] | None = None, trust: Trust | None = None
    ) -> Self:
        """Read a bundle and check every file against its checksum; `progress` gets bytes read.

        Raises BundleError: missing, altered, of another format, not what `trust` asks for, an adapted bundle
        without its heads, or a folder that holds or a graph that reads what bundle.json does not list.
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
        require_listed(path / MODEL, manifest.files)
        heads = _read_heads(path, manifest) if HEADS in manifest.files else None
        calibration = _read_calibration(path / CALIBRATION) if CALIBRATION in manifest.files else None
        reference = Reference.load(path / REFERENCE)
        if manifest.reading == "pooled":
            _require_adapted(path, heads, calibration, reference)
        bundle = cls(path, manifest, fingerprint, reference, heads, calibration, seen)
        bundle.require_same()
        return bundle

    def require_same(self) -> None:
        """Raise BundleError where a file was changed since it was checked. Call it when all are opened."""
        require_same(self.path, self.seen)


def read_manifest(path: Path, trust: Trust | None = None) -> tuple[Manifest, str]:
    """Read bundle.json without checking the other files. Returns it and the bundle's fingerprint.

    `trust` is asked first, so that nothing is made of a bundle that nobody vouches for.
    """
    content = read(path / MANIFEST, _LARGEST_MANIFEST)
    fingerprint = hashlib.sha256(content).hexdigest()
    if trust is not None:
        trust.require(path, fingerprint)
    manifest = decode(path / MANIFEST, content, Manifest)
    if manifest.format != FORMAT:
        raise BundleError(
            f"{path} has bundle format {manifest.format}, this version reads {FORMAT}: export it again"
        )
    return manifest, fingerprint


def write_manifest(path: Path, manifest: Manifest) -> str:
    """Fill in the checksums of every file beside bundle.json, write it, return the fingerprint.

    A signature that was there is of another bundle now, and goes.
    """
    (path / SIGNATURE).unlink(missing_ok=True)
    names = sorted(file.name for file in path.iterdir() if is_name(file.name) and file.name != MANIFEST)
    files = {name: sha256(path / name) for name in names}
    content = msgspec.json.format(
        msgspec.json.encode(msgspec.structs.replace(manifest, files=files)), indent=2
    )
    (path / MANIFEST).write_bytes(content + b"\n")
    return hashlib.sha256(content + b"\n").hexdigest()


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


def _read_calibration(path: Path) -> Calibration:
    return decode(path, read(path, _LARGEST[CALIBRATION]), Calibration, "run `mimamori adapt` again")


def _highest(calibration: Calibration, reference: Reference) -> float:
    return max(calibration.highest, float(reference.scores[:, :1].max(initial=0.0)))


def _read_heads(path: Path, manifest: Manifest) -> Heads:
    hidden, levels = manifest.source.hidden_size, len(manifest.task.severity.levels)
    shapes = {
        "mean": (hidden,),
        "scale": (hidden,),
        "risk_weight": (hidden,),
        "risk_bias": (),
        "severity_weight": (levels, hidden),
        "severity_bias": (levels,),
    }
    try:
        arrays = read_arrays(path / HEADS, (), optional=shapes)
    except (ArchiveError, OSError):  # no archive, or one that holds pickled objects
        raise BundleError(
            f"{path / HEADS} is not an archive of number arrays: run `mimamori adapt` again"
        ) from None
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            raise BundleError(f"{path / HEADS}: {name} must have shape {shape}: run `mimamori adapt` again")
    if not all(np.isfinite(array).all() for array in arrays.values()) or not (arrays["scale"] > 0).all():
        raise BundleError(f"{path / HEADS} holds numbers that no fit gives: run `mimamori adapt` again")
    return Heads(**{name: array.astype(np.float32) for name, array in arrays.items()})
