"""bundle.json: what a bundle was made from and of, and the checksum of every other file of it."""

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec

from engine.bundle.files import decode, is_name, read, sha256
from engine.bundle.signature import SIGNATURE, Trust
from engine.errors import BundleError
from engine.task import Task
from engine.vocabulary import Stage, StoredPrecision
from schemas.vocabulary import Reading

FORMAT: Final = 2
MANIFEST: Final = "bundle.json"
_LARGEST: Final = 1 << 20  # bytes that no real one reaches


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

    stage: Stage
    name: str
    token_id: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """bundle.json. `layer` is the last layer of a cut graph, None at full depth.

    `labels` lists the columns of `label_logits`: risk (clear, at_risk), then severity, least first.
    `parity` holds the export gate's figures for each device and precision it ran; `files` the sha256 of
    every other file. `form` is how the graph computes attention (`export/exporting/forms.py`). `prefix` says
    where the prefix is: bound to the graph, or in each row.
    """

    source: Source
    task: Task
    prompt: Prompt
    labels: tuple[LabelToken, ...]
    reading: Reading
    precision: StoredPrecision
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


def read_manifest(path: Path, trust: Trust | None = None) -> tuple[Manifest, str]:
    """Read bundle.json without checking the other files. Returns it and the bundle's fingerprint.

    `trust` is asked first, so that nothing is made of a bundle that nobody vouches for.
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
