"""A recipe and the model's own files give the exported bundle back, bit for bit, or one clear error."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from engine.bundle import MODEL, WEIGHTS, Bundle
from engine.errors import BundleError
from export.building.build import build_bundle
from export.building.recipe import RECIPE, read_recipe, shipped_recipe
from export.exporting.exporter import Exported
from tests.fakes.exporting import export_on_cpu
from tests.fakes.tiny_llama import TASK, write_tiny_llama

TORCHLESS = """
import sys
from pathlib import Path
for name in ("torch", "transformers", "optimum", "onnxruntime"):
    sys.modules[name] = None  # any import of it raises
from export.building.build import build_bundle
build_bundle(*map(Path, sys.argv[1:4]))
"""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("tiny") / "model", tie_word_embeddings=False)


@pytest.fixture(scope="module")
def exported(model: Path) -> Exported:
    return export_on_cpu(str(model), TASK, model.parent / "bundle")


def test_building_gives_the_exported_bundle_bit_for_bit(
    exported: Exported, model: Path, tmp_path: Path
) -> None:
    stages: list[tuple[str, int, int]] = []
    bundle = build_bundle(exported.recipe, tmp_path / "built", model, lambda *stage: stages.append(stage))
    assert bundle.fingerprint == exported.fingerprint
    assert bundle.path == tmp_path / "built"
    assert _contents(tmp_path / "built") == _contents(exported.bundle)
    assert [done for stage, done, total in stages if stage == "verify the bundle"][-1] == stages[-1][2]
    assert {stage for stage, _, _ in stages} == {
        "check the model's files",
        "fill weights",
        "verify the bundle",
    }


def test_building_needs_no_torch(exported: Exported, model: Path, tmp_path: Path) -> None:
    arguments = [str(exported.recipe), str(tmp_path / "built"), str(model)]
    subprocess.run([sys.executable, "-c", TORCHLESS, *arguments], check=True, timeout=120)
    assert _contents(tmp_path / "built") == _contents(exported.bundle)


def test_a_recipe_holds_no_large_weight(exported: Exported) -> None:
    packed = read_recipe(exported.recipe)
    assert packed.recipe.weights
    assert exported.recipe.stat().st_size < (exported.bundle / WEIGHTS).stat().st_size / 2
    assert packed.recipe.tokenizer == "tokenizer.json"


def test_building_again_verifies_what_is_there(exported: Exported, model: Path, tmp_path: Path) -> None:
    build_bundle(exported.recipe, tmp_path / "built", model)
    assert (
        build_bundle(exported.recipe, tmp_path / "built", tmp_path / "nowhere").fingerprint
        == exported.fingerprint
    )
    _flip(tmp_path / "built" / WEIGHTS)
    with pytest.raises(BundleError, match="is not the file the bundle was made with"):
        build_bundle(exported.recipe, tmp_path / "built", model)


def test_another_folder_is_not_overwritten(exported: Exported, model: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not the bundle of"):
        build_bundle(exported.recipe, tmp_path, model)


@pytest.mark.parametrize("name", [MODEL, WEIGHTS, "tokenizer.json"])
def test_an_altered_bundle_is_refused(name: str, exported: Exported, tmp_path: Path) -> None:
    shutil.copytree(exported.bundle, tmp_path / "altered")
    _flip(tmp_path / "altered" / name)
    with pytest.raises(BundleError, match=f"{name} is not the file the bundle was made with"):
        Bundle.load(tmp_path / "altered")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_an_altered_file_of_the_model_is_refused(
    name: str, exported: Exported, model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "model")
    _flip(tmp_path / "model" / name)
    _refused(exported.recipe, tmp_path / "model", f"is not the {name} the recipe was made from", tmp_path)


def test_another_model_is_refused(exported: Exported, tmp_path: Path) -> None:
    other = write_tiny_llama(tmp_path / "other", seed=1, tie_word_embeddings=False)
    _refused(exported.recipe, other, "is not the model.safetensors the recipe was made from", tmp_path)


def test_a_missing_file_of_the_model_is_named(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    _refused(exported.recipe, tmp_path / "empty", "needs model.safetensors, which is not in", tmp_path)


def test_local_files_must_be_given(exported: Exported, tmp_path: Path) -> None:
    _refused(exported.recipe, None, "give their folder with --source", tmp_path)


def test_a_wheel_that_is_not_installed_is_named(exported: Exported, tmp_path: Path) -> None:
    def elsewhere(recipe: bytes) -> bytes:
        content = msgspec.json.decode(recipe)
        content["origin"] |= {"kind": "wheel", "name": "no-such-wheel"}
        return msgspec.json.encode(content)

    altered = _altered(exported.recipe, tmp_path, RECIPE, elsewhere)
    _refused(altered, None, "pip install --no-deps no-such-wheel", tmp_path)


def test_an_altered_graph_in_the_recipe_is_refused(exported: Exported, model: Path, tmp_path: Path) -> None:
    altered = _altered(exported.recipe, tmp_path, MODEL, lambda graph: graph + b"\0")
    _refused(altered, model, "is not the file the bundle was made with", tmp_path)


def test_an_altered_derivation_is_refused(exported: Exported, model: Path, tmp_path: Path) -> None:
    def swap(recipe: bytes) -> bytes:
        content = msgspec.json.decode(recipe)
        first, second, *_ = [
            weight["made"] for weight in content["weights"] if weight["made"].get("transpose")
        ]
        first["tensor"] = second["tensor"]
        return msgspec.json.encode(content)

    altered = _altered(exported.recipe, tmp_path, RECIPE, swap)
    _refused(altered, model, "export the model again", tmp_path)


@pytest.mark.parametrize("field", ["format", "files"])
def test_a_recipe_of_another_format_is_refused(
    field: str, exported: Exported, model: Path, tmp_path: Path
) -> None:
    def other(recipe: bytes) -> bytes:
        content = msgspec.json.decode(recipe)
        content[field] = {"format": 99, "files": [{"name": "../x", "sha256": "0", "size": 1}]}[field]
        return msgspec.json.encode(content)

    altered = _altered(exported.recipe, tmp_path, RECIPE, other)
    _refused(altered, model, "recipe format 99|must not be a path", tmp_path)


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.recipe").write_bytes(b"not a zip")
    _refused(tmp_path / "x.recipe", None, "is not a recipe", tmp_path)
    _refused(tmp_path / "none.recipe", None, "cannot read the recipe", tmp_path)


def test_weights_in_bfloat16_come_out_as_float32(tmp_path: Path) -> None:
    import ml_dtypes  # noqa: PLC0415 - onnx brings it; only this test names it

    model = write_tiny_llama(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    small = {name: weight.astype(ml_dtypes.bfloat16) for name, weight in weights.items()}
    save_file(small, model / "model.safetensors", {"format": "pt"})
    exported = export_on_cpu(str(model), TASK, tmp_path / "bundle")
    build_bundle(exported.recipe, tmp_path / "built", model)
    assert _contents(tmp_path / "built") == _contents(exported.bundle)
    data = np.fromfile(tmp_path / "built" / WEIGHTS, np.uint32)
    assert not (data & 0xFFFF).any()


def test_weights_in_several_files_are_asked_for_as_far_as_they_are_used(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model", shard_size="100KB")
    shards = sorted(path.name for path in model.glob("*.safetensors"))
    assert len(shards) > 1
    save_file({"x": np.zeros(5000, np.float32)}, model / "other.safetensors")
    exported = export_on_cpu(str(model), TASK, tmp_path / "bundle")
    assert [file.name for file in read_recipe(exported.recipe).recipe.files] == [*shards, "tokenizer.json"]
    build_bundle(exported.recipe, tmp_path / "built", model)
    assert _contents(tmp_path / "built") == _contents(exported.bundle)


def test_a_task_without_a_recipe_names_those_that_have_one() -> None:
    with pytest.raises(BundleError, match="no recipe ships for the task spam"):
        shipped_recipe("spam")


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _altered(recipe: Path, folder: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    path = folder / "altered.recipe"
    with zipfile.ZipFile(recipe) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, change(content) if name == member else content)
    return path


def _refused(recipe: Path, source: Path | None, message: str, folder: Path) -> None:
    with pytest.raises(BundleError, match=message) as refusal:
        build_bundle(recipe, folder / "built", source)
    assert "\n" not in str(refusal.value)
    assert not [path for path in folder.iterdir() if "built" in path.name]
