"""The bundle of a shipped task, adapted on its shipped examples: what the demo runs. Built once, kept."""

from collections.abc import Callable
from pathlib import Path

from export.adapt import adapt, examples_digest
from export.build import build_bundle
from export.recipe import shipped_recipe
from worker.bundle import MANIFEST, sha256
from worker.task import load_task, read_examples, shipped_examples


def shipped_bundle(task_name: str, home: Path, progress: Callable[[str, int, int], None]) -> Path:
    """Build and adapt the bundle of a shipped task below `home`, or find it there from an earlier run.

    The folders' names hold what they were made from: another recipe or other examples give others.
    Raises BundleError or TaskError.
    """
    task = load_task(task_name)
    recipe = shipped_recipe(task.name)
    examples = read_examples(shipped_examples(task), task)
    made_from = f"{task.name}-{sha256(recipe)[:12]}"
    adapted = home / f"{made_from}-{examples_digest(examples)[:12]}"
    if (adapted / MANIFEST).is_file():
        return adapted
    full = home / made_from
    build_bundle(recipe, full, progress=progress)
    adapt(full, examples, adapted, progress)
    return adapted
