"""Builds bundles adapted on a task's shipped examples, for the demo and for trials, and keeps them."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.bundle import MANIFEST, Bundle
from engine.bundle.files import sha256
from engine.devices.choice import choose
from engine.task import load_task
from export.adapting.adapt import adapt, examples_digest
from export.building.build import build_bundle
from export.building.recipe import read_recipe, shipped_recipe
from export.examples import read_examples, shipped_examples

ADAPTED: Final = 5  # Raise it whenever adapting would write a different bundle than before.
Progress = Callable[[str, int, int], None]


def shipped_bundle(task_name: str, home: Path, progress: Progress, layer: int | None = None) -> Path:
    """Build and adapt the bundle of a shipped task below `home`, unless an earlier run already did.

    It is cut at `layer`, by default at the best one. The folder's name depends on that, on the recipe, the
    examples and the machine's precision, because thresholds hold for one precision only. So a change to any
    of them gives a new folder.

    Raises FatalError.
    """
    task = load_task(task_name)
    recipe = shipped_recipe(task.name)
    examples = examples_digest(read_examples(shipped_examples(task), task))
    precision = choose("auto", "auto").precision
    cut = "" if layer is None else f"-layer-{layer}"
    out = home / f"{task.name}-{sha256(recipe)[:12]}-{examples[:12]}-{precision}-{ADAPTED}{cut}"
    if not (out / MANIFEST).is_file():
        build_adapted(recipe, out, None, progress, layer)
    return out


def build_adapted(
    recipe: Path, out: Path, source: Path | None, progress: Progress, layer: int | None = None
) -> Bundle:
    """Build a recipe's bundle and adapt it on its task's shipped examples; one that exists is only verified.

    Raises BundleError: as `build_bundle`. TaskError: the task ships no examples.
    """
    if not (out / MANIFEST).is_file():
        task = read_recipe(recipe).manifest.task
        examples = read_examples(shipped_examples(task), task)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".full-", dir=out.parent) as folder:
            full = build_bundle(recipe, Path(folder) / "bundle", source, progress)
            adapt(full.path, examples, out, progress, layer=layer)
    return Bundle.load(out)
