"""The recipes in this repository are what `export` writes today, and fill to the same bundle."""

import json
import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from engine.bundle import MANIFEST, Bundle
from engine.bundle.reference import REFERENCE
from engine.task import load_task
from export.building.recipe import read_recipe, shipped_recipe
from export.exporting.exporter import Exported
from export.exporting.forms import Form
from tests.fakes.exporting import export_on_cpu

# An export takes a minute on two free cores (parsing the GGUF, tracing, the gates), more on busy ones.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Exported again, in the form that was the fastest where the shipped one was made."""
    shipped = read_recipe(shipped_recipe("stress")).manifest
    form: Form = next(form for form in get_args(Form) if form == shipped.form)
    out = tmp_path_factory.mktemp("smollm2") / "stress"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # where others use the cores too, threads that wait for each other cost more
    try:
        # In fp32 alone, as no more than that is compared below; in others, each start of an engine proves it.
        return export_on_cpu("smollm2", load_task("stress"), out, form=form)
    finally:
        torch.set_num_threads(threads)


def test_the_shipped_recipe_is_what_export_writes_today(exported: Exported) -> None:
    # Members, not the zip's bytes: another zlib packs the same content differently.
    today, shipped = _members(exported.recipe), _members(shipped_recipe("stress"))
    # The original's answers, and in which precisions the gate could run, are this machine's.
    for members in (today, shipped):
        members.pop(REFERENCE)
        members[MANIFEST] = _without_machine(json.loads(members[MANIFEST]))
    assert today == shipped


def test_the_original_answers_as_it_did_for_the_shipped_recipe(
    exported: Exported, full_bundle: Bundle
) -> None:
    today = Bundle.load(exported.bundle).reference
    shipped = full_bundle.reference
    for name in ("tokens", "messages", "rows"):
        assert np.array_equal(getattr(today, name), getattr(shipped, name))
    assert np.allclose(today.label_logits, shipped.label_logits, atol=1e-3)
    apart = np.linalg.norm(today.pooled - shipped.pooled, axis=-1)
    assert (apart <= 1e-3 * np.linalg.norm(shipped.pooled, axis=-1)).all()


def test_the_shipped_recipe_fills_to_the_exported_bundle(exported: Exported, full_bundle: Bundle) -> None:
    built, made = dict(full_bundle.manifest.files), dict(Bundle.load(exported.bundle).manifest.files)
    assert built.pop(REFERENCE)
    assert made.pop(REFERENCE)
    assert built == made


@pytest.mark.parametrize("name", ["stress", "suicide-risk"])
def test_a_shipped_recipe_asks_what_its_task_asks(name: str) -> None:
    assert read_recipe(shipped_recipe(name)).manifest.task == load_task(name)


def _without_machine(manifest: dict[str, Any]) -> Any:
    manifest["parity"] = {"cpu fp32": manifest["parity"]["cpu fp32"]}
    del manifest["files"][REFERENCE]
    return manifest


def _members(recipe: Path) -> dict[str, Any]:
    with zipfile.ZipFile(recipe) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
