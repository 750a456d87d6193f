"""An exported graph answers as the original model does, and what cannot be exported is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, BartConfig, BertConfig, GPT2Config, T5Config

from engine.bundle import Bundle
from engine.task import Task
from export.errors import ExportError
from export.exporting import attention, exporter, fastest
from export.exporting.exporter import export_model
from export.exporting.forms import FORMS
from export.exporting.graph import trace
from export.exporting.prompt import Shot
from tests.fakes.exporting import export_on_cpu
from tests.fakes.graph_run import GraphRun, original_answers
from tests.fakes.tiny_llama import LLAMA3_ROPE, TASK, write_tiny_llama
from tests.fakes.tiny_models import write_tiny_model


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SHAPES: dict[str, dict[str, Any]] = {
    "grouped queries, tied": {},
    "untied": {"tie_word_embeddings": False},
    "one key head, biases": {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True},
    "no groups": {"num_key_value_heads": 6},
    "head_dim of its own": {"head_dim": 16},
    "llama3 rope": {"rope_scaling": LLAMA3_ROPE, "rope_theta": 500000.0},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_graph_answers_as_the_original(shape: str, tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model", **SHAPES[shape])
    export_on_cpu(str(model), TASK, tmp_path / "out")
    original = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    graph = GraphRun(tmp_path / "out")
    tokens = np.random.default_rng(1)
    rows = [list(tokens.integers(1, 257, length)) for length in (1, 7, 40, 2, 19)]
    for prefix_length in (0, 1, 33):
        prefix = list(tokens.integers(1, 257, prefix_length))
        for row, answer in zip(rows, graph.answers(prefix, rows), strict=True):
            expected = original_answers(original, prefix, row, graph.label_ids)
            (alone,) = graph.answers(prefix, [row])
            for actual in (answer, alone):
                np.testing.assert_allclose(actual.label_logits, expected.label_logits, atol=1e-4, rtol=0)
                np.testing.assert_allclose(actual.pooled, expected.pooled, atol=1e-4, rtol=0)


def test_the_manifest_says_what_was_exported(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model", head_dim=16)
    stages: list[str] = []
    exported = export_on_cpu(
        str(model), TASK, tmp_path / "out", lambda stage, _done, _total: stages.append(stage)
    )
    manifest = Bundle.load(tmp_path / "out").manifest
    assert exported.manifest == manifest
    source = manifest.source
    assert (source.layers, source.hidden_size, source.kv_heads, source.head_dim) == (3, 48, 2, 16)
    assert [(label.stage, label.name) for label in manifest.labels] == [
        ("risk", "clear"),
        ("risk", "at_risk"),
        ("severity", "low"),
        ("severity", "high"),
    ]
    assert manifest.prompt.prefix == "<|system|>\nRead the message.\n<|user|>\nMessage: "
    assert manifest.prompt.risk_suffix == "\nRisk? y or n\n<|assistant|>\n"
    assert list(manifest.parity) == ["cpu fp32"]
    assert manifest.parity["cpu fp32"]["label_agreement"] == 1.0
    assert manifest.parity["cpu fp32"]["label_logits_below"] == 1e-4
    assert exported.fingerprint == Bundle.load(tmp_path / "out").fingerprint
    assert stages[0] == "load the model"
    assert "check parity" in stages


def test_two_exports_are_byte_identical(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model")
    for name in ("first", "second"):
        export_on_cpu(str(model), TASK, tmp_path / name)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("first", "second"))
    assert first == second
    assert (tmp_path / "first.recipe").read_bytes() == (tmp_path / "second.recipe").read_bytes()


def test_without_a_chat_template_the_prompt_is_plain(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model", chat_template=None)
    prompt = export_on_cpu(str(model), TASK, tmp_path / "out").manifest.prompt
    assert prompt.prefix == "Read the message.\n\nMessage: "
    assert prompt.risk_suffix == "\nRisk? y or n\nAnswer:"


def test_a_template_without_a_system_role_gets_the_instruction_in_the_users_words(tmp_path: Path) -> None:
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    template = refusing + "{{ messages[0]['content'] }}\n"
    model = write_tiny_llama(tmp_path / "model", chat_template=template)
    assert export_on_cpu(str(model), TASK, tmp_path / "out").manifest.prompt.prefix.startswith(
        "Read the message.\n\n"
    )


def test_shots_become_turns_of_the_chat_and_the_same_prefix_for_both_stages(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model")
    exported = export_on_cpu(str(model), TASK, tmp_path / "out", shots=[Shot("Message: up\nRisk?", "y")])
    assert exported.manifest.prompt.prefix == (
        "<|system|>\nRead the message.\n<|user|>\nMessage: up\nRisk?\n<|assistant|>\ny\n<|user|>\nMessage: "
    )


def test_a_shot_that_spells_out_a_special_token_is_refused(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model")
    with pytest.raises(ExportError, match="shot 1 spells out a special token"):
        export_on_cpu(str(model), TASK, tmp_path / "out", shots=[Shot("a <unk> b", "y")])


def test_the_fastest_form_is_measured_with_the_models_own_prefix(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model")
    stages: list[str] = []
    exported = export_model(
        str(model), TASK, tmp_path / "out", lambda stage, *_: stages.append(stage), device="cpu"
    )
    assert "measure the graph's forms" in stages
    assert exported.manifest.form in FORMS


def test_forms_that_do_not_differ_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers of a Mistral have a window, and a window leaves one form only."""
    monkeypatch.setattr(fastest, "open_device", lambda *_, **__: pytest.fail("nothing is to be measured"))
    model = write_tiny_model(tmp_path / "model", "mistral")
    exported = export_model(str(model), TASK, tmp_path / "out", device="cpu")
    assert exported.manifest.form == FORMS[0]


def _no_causality(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCKED", 0.0)


def _labels_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "trace", lambda m, s, ids, form: trace(m, s, ids[::-1], form))


def _prefix_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions start at 0 whatever the prefix."""

    def from_zero(*arguments: Any) -> onnx.ModelProto:
        model = trace(*arguments)
        own = {node.output[0] for node in model.graph.node if node.op_type == "Range"}
        shift = next(node for node in model.graph.node if node.op_type == "Add" and own & set(node.input))
        unshifted = next(name for name in shift.input if name in own)
        shift.CopyFrom(onnx.helper.make_node("Identity", [unshifted], list(shift.output)))
        return model

    monkeypatch.setattr(exporter, "trace", from_zero)


@pytest.mark.parametrize("breakage", [_no_causality, _labels_swapped, _prefix_not_counted])
def test_a_graph_that_answers_differently_fails_the_gate_and_leaves_nothing(
    breakage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny_llama(tmp_path / "model")
    breakage(monkeypatch)
    with pytest.raises(ExportError, match="is not the original model"):
        export_on_cpu(str(model), TASK, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BertConfig(architectures=["BertForMaskedLM"]), "not a causal language model"),
        (BartConfig(architectures=["BartForConditionalGeneration"]), "not a causal language model"),
        (T5Config(architectures=["T5EncoderModel"]), "not a causal language model"),
        (GPT2Config(architectures=["GPT2LMHeadModel"]), "family gpt2"),
    ],
)
def test_other_models_are_refused_before_they_are_loaded(config: Any, message: str, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path / "model")
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "model" / "model.safetensors")
    _refused(str(tmp_path / "model"), TASK, message, tmp_path)


def test_a_rope_that_changes_with_length_is_refused(tmp_path: Path) -> None:
    scaling = {"rope_type": "dynamic", "factor": 2.0}
    model = write_tiny_llama(tmp_path / "model", rope_scaling=scaling)
    _refused(str(model), TASK, "rope type dynamic", tmp_path)


def test_an_incomplete_model_is_refused(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    _refused(str(model), TASK, "incomplete", tmp_path)


def test_a_context_shorter_than_the_prompt_is_refused(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model", max_position_embeddings=64)
    _refused(str(model), TASK, "reads 64: shorten the instruction", tmp_path)


def test_an_answer_of_two_tokens_is_named(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model")
    risk = type(TASK.risk)(TASK.risk.question, clear="no", at_risk="y")
    task = Task(**{**{f: getattr(TASK, f) for f in TASK.__struct_fields__}, "risk": risk})
    _refused(str(model), task, "risk answer 'no' is not one token for this model but 2", tmp_path)


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/model.gguf", "nowhere"])
def test_a_model_that_is_not_there_is_refused(model: str, tmp_path: Path) -> None:
    _refused(model, TASK, "no model at", tmp_path)


def test_a_hub_that_cannot_be_reached_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    _refused("nobody/no-such-model", TASK, "cannot get nobody/no-such-model from the hub", tmp_path)


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model")
    (model / "model.safetensors").unlink()
    _refused(str(model), TASK, "no .safetensors", tmp_path)


def test_a_taken_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        export_on_cpu("smollm2", TASK, tmp_path / "out")


def _refused(model: str, task: Task, message: str, folder: Path) -> None:
    with pytest.raises(ExportError, match=message) as refusal:
        export_on_cpu(model, task, folder / "out")
    assert "\n" not in str(refusal.value)
    assert not (folder / "out").exists()
