"""A recipe: a bundle without its weights, in one zip, with a description of where each weight comes from.

    recipe.json      the Recipe below
    bundle.json      identical to the bundle's, with the checksum of every file that must result
    model.onnx       identical to the bundle's
    reference.npz    identical to the bundle's
    tokenizer.json   a skeleton (see export.building.tokens); absent where the model's own file is copied

The same export gives the same members. The bytes of the zip itself depend on the zlib that packed them.
"""

import zipfile
from pathlib import Path
from typing import Final

import msgspec

from engine.bundle import MANIFEST, MODEL, TOKENIZER, Manifest
from engine.bundle.archive import ArchiveError, read_members
from engine.bundle.reference import REFERENCE
from engine.errors import BundleError
from export.building.source import Origin, SourceFile
from export.building.tensors import Derivation

FORMAT: Final = 2
RECIPE: Final = "recipe.json"
SUFFIX: Final = ".recipe"
SHIPPED: Final = Path(__file__).parents[1] / "recipes"

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class Weight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A large tensor of the graph; `sha256` is that of its little-endian float32 bytes."""

    name: str
    sha256: str
    made: Derivation


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """recipe.json. `weights` have the order of model.onnx.data; `tokenizer` is a file to copy, or None."""

    origin: Origin
    files: tuple[SourceFile, ...]
    weights: tuple[Weight, ...]
    tokenizer: str | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuse references to a file that is not in `files`."""
        named = {weight.made.file for weight in self.weights} | ({self.tokenizer} - {None})
        if unknown := named - {file.name for file in self.files}:
            raise ValueError(f"files does not list {', '.join(sorted(map(str, unknown)))}")


class Packed(msgspec.Struct, frozen=True):
    """A recipe after reading. `tokenizer` is the skeleton, None where a file is copied."""

    recipe: Recipe
    manifest: Manifest
    bundle_json: bytes
    model: bytes
    reference: bytes
    tokenizer: bytes | None


def write_recipe(path: Path, recipe: Recipe, bundle: Path, tokenizer: bytes | None) -> None:
    """Pack the recipe of the bundle in the folder `bundle`; `tokenizer` is its skeleton."""
    members = {
        RECIPE: msgspec.json.format(msgspec.json.encode(recipe), indent=1),
        MANIFEST: (bundle / MANIFEST).read_bytes(),
        MODEL: (bundle / MODEL).read_bytes(),
        REFERENCE: (bundle / REFERENCE).read_bytes(),
    }
    if tokenizer is not None:
        members[TOKENIZER] = tokenizer
    partial = path.with_name(f".{path.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    partial.replace(path)


def read_recipe(path: Path) -> Packed:
    """Read a recipe. Raises BundleError: missing, not a recipe, or of another format."""
    try:
        members = read_members(path, (RECIPE, MANIFEST, MODEL, REFERENCE), optional=(TOKENIZER,))
        recipe = msgspec.json.decode(members[RECIPE], type=Recipe)
        if recipe.format != FORMAT:
            raise BundleError(
                f"{path} has recipe format {recipe.format}, this version reads {FORMAT}: export it again"
            )
        return Packed(
            recipe=recipe,
            manifest=msgspec.json.decode(members[MANIFEST], type=Manifest),
            bundle_json=members[MANIFEST],
            model=members[MODEL],
            reference=members[REFERENCE],
            tokenizer=members[TOKENIZER] if recipe.tokenizer is None else None,
        )
    except OSError as error:
        raise BundleError(f"cannot read the recipe {path}: {error.strerror}") from None
    except (ArchiveError, KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"{path} is not a recipe ({error}): write it again with `mimamori export`"
        ) from None


def shipped_recipe(task_name: str) -> Path:
    """The recipe in this repository for a shipped task. Raises BundleError: there is none."""
    found = sorted(SHIPPED.glob(f"*.{task_name}{SUFFIX}"))
    if not found:
        known = ", ".join(sorted(path.name for path in SHIPPED.glob(f"*{SUFFIX}")))
        raise BundleError(
            f"no recipe ships for the task {task_name}: export a model for it (shipped: {known})"
        )
    return found[0]
