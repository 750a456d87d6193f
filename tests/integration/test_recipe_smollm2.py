"""The recipes in this repository are what `export` writes today, and fill to the same bundle."""

import zipfile
from pathlib import Path

import pytest

from export.build import build_bundle
from export.exporter import Exported, export_model
from export.recipe import read_recipe, shipped_recipe
from worker.bundle import Bundle
from worker.task import load_task

# An export takes 45 s on two free cores (parsing the GGUF four times, tracing, the gate), more on busy ones.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_model("smollm2", load_task("stress"), tmp_path_factory.mktemp("smollm2") / "stress")


def test_the_shipped_recipe_is_what_export_writes_today(exported: Exported) -> None:
    # Members, not the zip's bytes: another zlib packs the same content differently.
    assert _members(exported.recipe) == _members(shipped_recipe("stress"))


def test_the_shipped_recipe_fills_to_the_exported_bundle(exported: Exported, tmp_path: Path) -> None:
    bundle = build_bundle(shipped_recipe("stress"), tmp_path / "built")
    assert bundle.fingerprint == exported.fingerprint
    assert bundle.manifest.files == Bundle.load(exported.bundle).manifest.files


@pytest.mark.parametrize("name", ["stress", "suicide-risk"])
def test_a_shipped_recipe_asks_what_its_task_asks(name: str) -> None:
    assert read_recipe(shipped_recipe(name)).manifest.task == load_task(name)


def _members(recipe: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(recipe) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
