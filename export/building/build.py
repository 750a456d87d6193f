"""Builds a bundle from a recipe and the model's own files, with numpy alone and identical bit for bit.

Neither torch nor transformers is imported, and no more than one tensor is in memory at a time.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
from safetensors import SafetensorError

from engine.bundle import MANIFEST, MODEL, TOKENIZER, Bundle
from engine.bundle.reference import REFERENCE
from engine.errors import BundleError
from export.building.layout import write_weights
from export.building.parts import Progress
from export.building.recipe import Packed, read_recipe
from export.building.source import find_again
from export.building.staging import staged
from export.building.tensors import Floats, Tensors
from export.building.tokens import attach


def build_bundle(
    recipe: Path, out: Path, source: Path | None = None, progress: Progress | None = None
) -> Bundle:
    """Build the bundle of `recipe` in the folder `out`; an existing bundle is only verified.

    Args:
        recipe: The recipe's file.
        out: The bundle's folder; it appears whole or not at all.
        source: The folder (or single file) of the model's files; None looks where the recipe says.
        progress: Called with a stage, and how much of it is done.

    Raises BundleError: the recipe or a file of the model is missing or altered, or `out` has other content.
    """
    report = progress or _silent
    packed = read_recipe(recipe)
    if out.exists():
        if not (out / MANIFEST).is_file() or (out / MANIFEST).read_bytes() != packed.bundle_json:
            raise BundleError(
                f"{out} exists and is not the bundle of {recipe.name}: remove it or choose another folder"
            )
        return _verified(out, packed, report)
    paths = find_again(packed.recipe.origin, packed.recipe.files, source, report)
    with staged(out) as folder:
        (folder / MODEL).write_bytes(packed.model)
        (folder / MANIFEST).write_bytes(packed.bundle_json)
        (folder / REFERENCE).write_bytes(packed.reference)
        files = {name: Tensors(path) for name, path in paths.items() if name != packed.recipe.tokenizer}
        _write_tokenizer(packed, paths, files, folder)
        write_weights(_weights(packed, files, report), folder)
        bundle = _verified(folder, packed, report)
    return msgspec.structs.replace(bundle, path=out)


def _weights(packed: Packed, files: dict[str, Tensors], report: Progress) -> Iterator[Floats]:
    total = len(packed.recipe.weights)
    for number, weight in enumerate(packed.recipe.weights, start=1):
        made = weight.made
        try:
            array = made.apply(files[made.file][made.tensor])
        except (
            KeyError,
            ValueError,
            IndexError,
            TypeError,
            NotImplementedError,
            SafetensorError,
            MemoryError,
        ):
            raise BundleError(
                f"the recipe cannot make {weight.name} from {made.tensor}: export the model again"
            ) from None
        if hashlib.sha256(array.data).hexdigest() != weight.sha256:
            raise BundleError(
                f"{weight.name} comes out differently from {made.tensor}: export the model again"
            )
        yield array
        report("fill weights", number, total)


def _write_tokenizer(packed: Packed, paths: dict[str, Path], files: dict[str, Tensors], folder: Path) -> None:
    if packed.recipe.tokenizer is not None:
        shutil.copyfile(paths[packed.recipe.tokenizer], folder / TOKENIZER)
    elif packed.tokenizer is not None:
        source = next(iter(files.values()), None)
        whole = attach(packed.tokenizer, source) if source is not None else packed.tokenizer
        (folder / TOKENIZER).write_bytes(whole)


def _verified(folder: Path, packed: Packed, report: Progress) -> Bundle:
    total = sum((folder / name).stat().st_size for name in packed.manifest.files if (folder / name).is_file())
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        report("verify the bundle", done, total)

    return Bundle.load(folder, count)


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Ignore the progress, where nobody asked for it."""
