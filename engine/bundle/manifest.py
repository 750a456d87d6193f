"""bundle.json: what a bundle was made from, what is in it, and the checksum of every other file."""

import hashlib
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from engine.bundle.calibration import CALIBRATION
from engine.bundle.expected import DRIFT
from engine.bundle.files import decode, is_name, read, sha256
from engine.bundle.reference import REFERENCE, SHALLOW_REFERENCE
from engine.bundle.signature import SIGNATURE, Trust
from engine.device_names import Stage, StoredPrecision
from engine.errors import BundleError
from engine.policy import primary_language
from engine.task import Task
from schemas.vocabulary import Reading

FORMAT: Final = 2
MANIFEST: Final = "bundle.json"
_LARGEST: Final = 1 << 20  # bytes that no real file reaches
# Files that do not decide scores: the reference is compared with scores, the calibration is fitted on them,
# and drift.json counts them.
_ABOUT_SCORES: Final = {REFERENCE, SHALLOW_REFERENCE, CALIBRATION, DRIFT}


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that a bundle was exported from, and the sizes that the graph's inputs depend on."""

    name: str
    revision: str
    family: str
    layers: int
    hidden_size: int
    kv_heads: int
    head_dim: int
    context: int


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """prefix | message | suffix, after the chat template.

    Each is tokenised separately, without special tokens.
    """

    prefix: str
    risk_suffix: str
    severity_suffix: str


class LabelToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A label and its token. Its position in the list is its column in `label_logits`."""

    stage: Stage
    name: str
    token_id: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """bundle.json. `layer` is the last layer of a graph that was cut, None for the full graph.

    `shallow` is the depth at which a cascade's first graph ends, and a message may stop; None without one.
    `labels` lists the columns of `label_logits`: risk (clear, at_risk), then severity, least severe first.
    `parity` holds the figures of the export's parity check for each device and precision that it ran; `files`
    holds the sha256 of every other file. `form` is how the graph computes attention
    (`export/exporting/forms.py`). `prefix` says where the prefix is: bound to the graph, or part of each row.
    """

    source: Source
    task: Task
    prompt: Prompt
    labels: tuple[LabelToken, ...]
    reading: Reading
    precision: StoredPrecision  # the precision that the graph stores
    opset: int
    form: str
    parity: dict[str, dict[str, float]]
    files: dict[str, str]
    layer: int | None = None
    format: int = FORMAT
    prefix: Literal["bound", "in_row"] = "bound"
    shallow: int | None = None

    @property
    def bound(self) -> bool:
        """Whether the prefix runs once and its keys and values are bound; the pooled reading needs this."""
        return self.prefix == "bound"

    @property
    def model(self) -> str:
        """The digest, 64 hex digits, of everything in the bundle that decides its scores.

        That is: the graph with its weights, the tokenizer and the heads, by their checksums; the parts of the
        prompt that this reading puts around a message; the stage of each column of logits; and the languages
        that messages are expected in. A pooled reading asks no question, so it has neither suffixes nor
        columns.
        """
        asked = self.reading == "prompted"
        decisive = {
            "files": sorted(
                (name, digest) for name, digest in self.files.items() if name not in _ABOUT_SCORES
            ),
            "reading": self.reading,
            "where the prefix is": self.prefix,
            "prefix": self.prompt.prefix,
            "suffixes": (self.prompt.risk_suffix, self.prompt.severity_suffix) if asked else (),
            "columns": [label.stage for label in self.labels] if asked else [],
            "languages": sorted({primary_language(tag) for tag in self.task.languages}),
        }
        return hashlib.sha256(msgspec.json.encode(decisive)).hexdigest()

    def __post_init__(self) -> None:
        """Refuse file names that lead out of the bundle's folder, and a cascade that cannot be."""
        if self.shallow is not None and not (self.bound and 1 <= self.shallow < (self.layer or 0)):
            raise ValueError("a cascade stops at a layer before the one that its heads read")
        for name in self.files:
            if not is_name(name) or name in {MANIFEST, SIGNATURE}:
                raise ValueError(f"files lists {name[:100]!r}, which is no file of a bundle")


def read_manifest(path: Path, trust: Trust | None = None) -> tuple[Manifest, str]:
    """Read bundle.json without checking the other files. Returns it and the bundle's fingerprint.

    `trust` is checked first, so that the content of an untrusted bundle is not even parsed.
    """
    content = read(path / MANIFEST, _LARGEST)
    fingerprint = hashlib.sha256(content).hexdigest()
    if trust is not None:
        trust.require(path, fingerprint)
    manifest = decode(path / MANIFEST, content, Manifest)
    if manifest.format != FORMAT:
        raise BundleError(
            f"{path} has bundle format {manifest.format}, this version reads {FORMAT}: export it again"
        )
    return manifest, fingerprint


def with_files(path: Path, manifest: Manifest) -> Manifest:
    """The manifest with the present checksum of every file beside bundle.json."""
    names = sorted(file.name for file in path.iterdir() if is_name(file.name) and file.name != MANIFEST)
    return msgspec.structs.replace(manifest, files={name: sha256(path / name) for name in names})


def write_manifest(path: Path, manifest: Manifest) -> str:
    """Add the checksum of every file beside bundle.json, write bundle.json and return the fingerprint.

    An existing signature is removed, because it was made for other content.
    """
    (path / SIGNATURE).unlink(missing_ok=True)
    content = msgspec.json.format(msgspec.json.encode(_stated(with_files(path, manifest))), indent=2)
    (path / MANIFEST).write_bytes(content + b"\n")
    return hashlib.sha256(content + b"\n").hexdigest()


def _stated(manifest: Manifest) -> dict[str, Any]:
    """What bundle.json says: of a bundle that is no cascade, what it said before there were any."""
    stated: dict[str, Any] = msgspec.to_builtins(manifest)
    if manifest.shallow is None:
        del stated["shallow"]
    return stated
