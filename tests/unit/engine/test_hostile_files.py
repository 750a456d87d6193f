"""Files made to hurt whoever opens them are refused in one line, by what their readers check beforehand.

What each command makes of them, in how much memory, is in tests/integration/test_hostile_commands.py.
"""

import re
from pathlib import Path

import pytest

from engine.bundle import TOKENIZER, Bundle, tokenizer_trial
from engine.bundle.tokenizer_trial import try_tokenizer
from engine.errors import BundleError, DeviceError, TaskError
from engine.load import open_reader
from engine.task import load_task
from export.building.build import build_bundle
from tests.fakes import hostile_files as hostile


def one_line(refusal: pytest.ExceptionInfo[Exception]) -> None:
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("name", hostile.BUNDLES)
def test_a_hostile_bundle_is_refused(name: str, tmp_path: Path) -> None:
    path = hostile.BUNDLES[name](tmp_path / "bundle")
    with pytest.raises(BundleError) as refusal:
        Bundle.load(path)
    one_line(refusal)


@pytest.mark.parametrize("name", hostile.GGUFS)
def test_a_hostile_gguf_is_refused(name: str, tmp_path: Path) -> None:
    recipe, file = hostile.recipe_of(tmp_path, hostile.GGUFS[name], "model.gguf")
    with pytest.raises(BundleError, match=r"tensors from .*model\.gguf|the recipe cannot") as refusal:
        build_bundle(recipe, tmp_path / "out", file)
    one_line(refusal)


@pytest.mark.parametrize("name", hostile.SAFETENSORS)
def test_a_hostile_safetensors_is_refused(name: str, tmp_path: Path) -> None:
    recipe, file = hostile.recipe_of(tmp_path, hostile.SAFETENSORS[name], "model.safetensors")
    with pytest.raises(BundleError) as refusal:
        build_bundle(recipe, tmp_path / "out", file)
    one_line(refusal)


@pytest.mark.parametrize("name", hostile.RECIPES)
def test_a_hostile_recipe_is_refused(name: str, tmp_path: Path) -> None:
    recipe, file = hostile.recipe_of(tmp_path, b"", "model.gguf")
    with pytest.raises(BundleError, match="recipe") as refusal:
        build_bundle(hostile.RECIPES[name](recipe), tmp_path / "out", file)
    one_line(refusal)
    assert not (tmp_path / "out").exists()


# The rest would end this process, were it not refused: it has one of its own in the other file.
@pytest.mark.parametrize("name", [name for name in hostile.TASKS if "nested" not in name])
def test_a_hostile_task_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(hostile.TASKS[name])
    with pytest.raises(TaskError, match=r"task\.yaml") as refusal:
        load_task(tmp_path / "task.yaml")
    one_line(refusal)


# Of those with millions of anything, writing the file takes longest: they are in the other file.
@pytest.mark.parametrize(
    "name", [name for name in hostile.TOKENIZERS if not re.search("as words|millions", name)]
)
def test_a_hostile_tokenizer_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_trial, "_SECONDS", 2)
    path = hostile.TOKENIZERS[name](tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"tokenizer\.json") as refusal:
        open_reader(Bundle.load(path), "label_logits", device="cpu")
    one_line(refusal)


def test_what_was_tried_is_not_tried_again(tmp_path: Path) -> None:
    path = hostile.panicking(tmp_path / "bundle")
    with pytest.raises(BundleError):
        try_tokenizer(path / TOKENIZER, "a digest", ("a text",))
    good = hostile.tokenizer_with(tmp_path / "good")
    try_tokenizer(good / TOKENIZER, "another digest", ("a text",))
    try_tokenizer(tmp_path / "nowhere", "another digest", ("a text",))
    with pytest.raises(BundleError):
        try_tokenizer(tmp_path / "nowhere", "another digest", ("another text",))


def test_a_text_on_which_a_pattern_has_no_end_is_an_error_like_others(tmp_path: Path) -> None:
    """Rust's panics are no `Exception`: the stream would die of one, instead of finding the message."""
    pattern = {"type": "Split", "pattern": {"Regex": "(\u0436+)+$"}, "behavior": "Isolated", "invert": False}
    path = hostile.tokenizer_with(tmp_path / "bundle", pre_tokenizer=pattern)
    reader = open_reader(Bundle.load(path), "label_logits", device="cpu")
    with pytest.raises(DeviceError, match="pattern"):
        reader.tokenise(["\u0436" * 200 + "!"])
