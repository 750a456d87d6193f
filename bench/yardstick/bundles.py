"""Makes the bundles to measure, and keeps them in the work folder under names that depend on their recipe."""

import hashlib
import os
from pathlib import Path

from engine.bundle import MANIFEST, Bundle
from engine.bundle.files import sha256
from engine.task import load_task
from export.building.build import build_bundle
from export.building.recipe import shipped_recipe
from export.examples import read_examples, shipped_examples

TASK, MODEL = "stress", "smollm2"


def prompted_bundle(shots: int, work: Path) -> Bundle:
    """The bundle of the shipped recipe, or, with shots, one that is exported with them.

    The form of its attention is then measured with that prefix.

    Raises SystemExit: shots were asked for and the export extra is missing.
    """
    recipe = shipped_recipe(TASK)
    out = work / f"{TASK}-{shots}-{_digest(recipe) if shots else sha256(recipe)[:12]}"
    if not shots:
        return build_bundle(recipe, out)
    if not (out / MANIFEST).is_file():
        try:
            from export.exporting.exporter import export_model  # noqa: PLC0415 - torch: only where a bundle is made
            from export.exporting.prompt import solved  # noqa: PLC0415 - same
        except ImportError as error:
            raise SystemExit(f"shots need {error.name}: pip install '.[export,cpu]'") from None
        task = load_task(TASK)
        examples = read_examples(shipped_examples(task), task)
        export_model(MODEL, task, out, shots=solved(task, examples, shots))
    return Bundle.load(out)


def full_bundle(path: Path | None) -> Bundle:
    """The full bundle in this folder; without one, that of the task stress, built once for all benchmarks."""
    if path is not None:
        return Bundle.load(path)
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "bench"
    return build_bundle(shipped_recipe(TASK), home / f"full-{TASK}")


def _digest(recipe: Path) -> str:
    """A digest of everything that a few-shot bundle depends on: the recipe, and the code that exports."""
    code = [path for path in sorted(recipe.parents[1].rglob("*.py")) if path.is_file()]
    return hashlib.sha256("".join(map(sha256, [recipe, *code])).encode()).hexdigest()[:12]
