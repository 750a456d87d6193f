"""Reads and verifies a model bundle: the folder that holds everything one worker needs to screen.

    model.onnx + model.onnx.data   the broadcast-prefix graph (cut at a layer, once adapted)
    tokenizer.json                 read by `tokenizers`, without transformers
    bundle.json                    the Manifest below: source, task, prompt, label tokens, checksums
    reference.npz                  what the original model answers to samples (worker.reference)
    heads.npz, calibration.json    once adapted: the linear heads and the thresholds

The fingerprint is the sha256 of bundle.json, which holds the sha256 of every other file: it stands on
every label and in every cache key. Nothing here imports a device library.
"""

import hashlib
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.events import Thresholds
from worker.errors import BundleError
from worker.reference import REFERENCE, Reference
from worker.task import Task

T = TypeVar("T")

FORMAT = 2
MANIFEST = "bundle.json"
MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"
TOKENIZER = "tokenizer.json"
HEADS = "heads.npz"
CALIBRATION = "calibration.json"

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

    `name` goes on every label.
    """

    name: str
    lower: float
    upper: float
    tolerated_miss_rate: float
    examples: int
    positives: int
    windowing: Windowing

    def __post_init__(self) -> None:
        """Refuse thresholds that would clear, or escalate, everything by mistake."""
        if not 0.0 <= self.lower <= self.upper <= 1.0:
            raise ValueError("a calibration needs 0 <= lower <= upper <= 1")


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

    @classmethod
    def load(cls, path: Path, progress: Callable[[int], None] | None = None) -> Self:
        """Read a bundle and check every file against its checksum; `progress` gets bytes read.

        Raises BundleError: missing, altered, of another format, or an adapted bundle without its heads.
        """
        manifest, fingerprint = read_manifest(path)
        for name in (MODEL, TOKENIZER, REFERENCE):
            if name not in manifest.files:
                raise BundleError(f"{path / MANIFEST} lists no {name}: build the bundle again")
        for name, expected in manifest.files.items():
            actual = sha256(path / name, progress)
            if actual != expected:
                raise BundleError(
                    f"{path / name} is not the file the bundle was made with: build the bundle again"
                )
        heads = _read_heads(path, manifest) if HEADS in manifest.files else None
        calibration = None
        if CALIBRATION in manifest.files:
            calibration = _read_json(path / CALIBRATION, Calibration, "run `mimamori adapt` again")
        if manifest.reading == "pooled" and (heads is None or calibration is None):
            raise BundleError(
                f"{path} reads pooled vectors but has no {HEADS} or {CALIBRATION}: run `mimamori adapt`"
            )
        return cls(path, manifest, fingerprint, Reference.load(path / REFERENCE), heads, calibration)


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """Read bundle.json without checking the other files. Returns it and the bundle's fingerprint."""
    manifest = _read_json(path / MANIFEST, Manifest)
    if manifest.format != FORMAT:
        raise BundleError(
            f"{path} has bundle format {manifest.format}, this version reads {FORMAT}: export it again"
        )
    return manifest, hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()


def write_manifest(path: Path, manifest: Manifest) -> str:
    """Fill in the checksums of every file beside bundle.json, write it, return the fingerprint."""
    files = {file.name: sha256(file) for file in sorted(path.iterdir()) if file.name != MANIFEST}
    content = msgspec.json.format(
        msgspec.json.encode(msgspec.structs.replace(manifest, files=files)), indent=2
    )
    (path / MANIFEST).write_bytes(content + b"\n")
    return hashlib.sha256(content + b"\n").hexdigest()


def sha256(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The sha256 of a file, hex, read in pieces of 4 MiB. Raises BundleError where it is missing."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                digest.update(piece)
                if progress is not None:
                    progress(len(piece))
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}; build or copy the bundle again") from None
    return digest.hexdigest()


def _read_json(path: Path, kind: type[T], remedy: str = "build or copy the bundle again") -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise BundleError(
            f"no bundle: cannot read {path} ({error.strerror}); build one with `mimamori bundle build`"
        ) from None
    except UnicodeDecodeError:
        raise BundleError(f"{path}: is not UTF-8; {remedy}") from None
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}; {remedy}") from None


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
        with np.load(path / HEADS, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in shapes if name in archive}
    except (ValueError, EOFError, zipfile.BadZipFile):  # no archive, or one that holds pickled objects
        raise BundleError(
            f"{path / HEADS} is not an archive of number arrays: run `mimamori adapt` again"
        ) from None
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            raise BundleError(f"{path / HEADS}: {name} must have shape {shape}: run `mimamori adapt` again")
    if not all(np.isfinite(array).all() for array in arrays.values()) or not (arrays["scale"] > 0).all():
        raise BundleError(f"{path / HEADS} holds numbers that no fit gives: run `mimamori adapt` again")
    return Heads(**{name: array.astype(np.float32) for name, array in arrays.items()})
