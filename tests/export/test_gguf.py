"""Every recipe gives its bundle back, from safetensors and from a GGUF, folded norms included."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from export.building import layout
from export.building.build import build_bundle
from export.building.gguf_file import GgufFile
from export.building.recipe import read_recipe
from export.errors import ExportError
from export.exporting import quick_gguf
from tests.fakes.exporting import export_on_cpu
from tests.fakes.tiny_gguf import write_tiny_gguf
from tests.fakes.tiny_llama import TASK
from tests.fakes.tiny_models import SHAPES, tiny_config, tiny_model, write_tiny_model

# What transformers takes for granted in a GGUF of the family, and room for the tokens it adds.
GGUF_SHAPES: dict[str, dict[str, Any]] = {
    "smollm2": {},
    "qwen2.5": {},
    "qwen3": {"head_dim": 128},
    "phi3": {"sliding_window": None},
    "gemma2": {
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "num_hidden_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gemma3": {"query_pre_attn_scalar": 256, "rope_scaling": None, "layer_types": ["sliding_attention"] * 3},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _norms_are_large_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real model's norms are filled from its files; these are small, so that the bound comes down."""
    monkeypatch.setattr(layout, "INLINE_BELOW", 192)


def _gguf(folder: Path, shape: str, **metadata: Any) -> Path:
    config = tiny_config(shape, vocab_size=300, **GGUF_SHAPES[shape])
    return write_tiny_gguf(folder / "model.gguf", tiny_model(config), **metadata)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_recipe_gives_the_bundle_back_from_safetensors(shape: str, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model", shape)
    exported = export_on_cpu(str(model), TASK, tmp_path / "out")
    assert build_bundle(exported.recipe, tmp_path / "built", model).fingerprint == exported.fingerprint
    summed = {weight.made.add for weight in read_recipe(exported.recipe).recipe.weights}
    assert summed == ({(), (1.0,)} if shape.startswith("gemma") else {()})


@pytest.mark.parametrize("shape", GGUF_SHAPES)
def test_a_recipe_gives_the_bundle_back_from_a_gguf(shape: str, tmp_path: Path) -> None:
    model = _gguf(tmp_path, shape)
    exported = export_on_cpu(str(model), TASK, tmp_path / "out")
    assert build_bundle(exported.recipe, tmp_path / "built", tmp_path).fingerprint == exported.fingerprint
    made = [weight.made for weight in read_recipe(exported.recipe).recipe.weights]
    assert any(derivation.unrope for derivation in made) == (shape == "smollm2")


@pytest.mark.parametrize("shape", GGUF_SHAPES)
def test_a_gguf_is_the_model_it_was_written_from(shape: str, tmp_path: Path) -> None:
    """Of the fake: were it not, the recipes above would be of another model."""
    model = tiny_model(tiny_config(shape, vocab_size=300, **GGUF_SHAPES[shape]))
    path = write_tiny_gguf(tmp_path / "model.gguf", model)
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    ids = torch.arange(40)[None, :] % 250
    with torch.no_grad():
        expected, actual = (each.eval()(input_ids=ids).logits.numpy() for each in (model, loaded))
    np.testing.assert_allclose(actual, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "metadata", "key"),
    [
        ("phi3", {"attention.sliding_window": 2047}, "attention.sliding_window"),
        ("smollm2", {"rope.scaling.type": "yarn"}, "rope.scaling.type"),
        ("gemma2", {"attn_logit_softcapping": 20.0}, "attn_logit_softcapping"),
        ("gemma2", {"final_logit_softcapping": 20.0}, "final_logit_softcapping"),
        ("qwen2.5", {"attention.key_length": 64}, "attention.key_length"),
    ],
)
def test_metadata_that_transformers_ignores_is_refused(
    shape: str, metadata: dict[str, Any], key: str, tmp_path: Path
) -> None:
    model = _gguf(tmp_path, shape, **metadata)
    with pytest.raises(ExportError, match=f"states {key}, which transformers ignores in a GGUF"):
        export_on_cpu(str(model), TASK, tmp_path / "out")


def test_a_window_beyond_the_context_hides_nothing_and_is_taken(tmp_path: Path) -> None:
    export_on_cpu(str(_gguf(tmp_path, "phi3", **{"attention.sliding_window": 9999})), TASK, tmp_path / "out")


@pytest.mark.parametrize("name", ["rope_freqs.weight", "rope_factors_short.weight"])
def test_rope_factors_that_transformers_ignores_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = gguf.GGUFWriter.write_header_to_file

    def with_factors(writer: gguf.GGUFWriter, *arguments: Any) -> None:
        writer.add_tensor(name, np.ones(4, np.float32))
        begin(writer, *arguments)

    monkeypatch.setattr(gguf.GGUFWriter, "write_header_to_file", with_factors)
    with pytest.raises(ExportError, match="scales its rope with a tensor that transformers ignores"):
        export_on_cpu(str(_gguf(tmp_path, "smollm2")), TASK, tmp_path / "out")


def test_a_gguf_is_read_once_for_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers opens it for the config, the weights and the tokenizer."""
    read: list[Path] = []

    def counted(path: Path) -> GgufFile:
        read.append(path)
        return GgufFile(path)

    monkeypatch.setattr(quick_gguf, "GgufFile", counted)
    model = _gguf(tmp_path, "smollm2")
    export_on_cpu(str(model), TASK, tmp_path / "out")
    assert read == [model]
