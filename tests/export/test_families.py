"""Every family that can be exported answers as its original, whatever its attention adds."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import AttentionInterface, AutoModelForCausalLM, PreTrainedModel

from engine.bundle import MODEL
from engine.errors import SettingsError
from engine.identity import Windowing
from engine.load import load_engine
from export.errors import ExportError
from export.exporting import attention, graph
from export.exporting.families import FAMILIES
from export.exporting.forms import FORMS, Form
from tests.fakes.exporting import export_on_cpu
from tests.fakes.graph_run import GraphRun, original_answers
from tests.fakes.tiny_llama import TASK
from tests.fakes.tiny_models import ORIGINAL_CONTEXT, SHAPES, write_tiny_model


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Exported:
    """A tiny model, its bundle, and the two loaded."""

    def __init__(self, shape: str, form: Form, folder: Path) -> None:
        self.shape = shape
        self.model = write_tiny_model(folder / "model", shape)
        export_on_cpu(str(self.model), TASK, folder / "out", form=form)
        self.graph = GraphRun(folder / "out")

    @cached_property
    def original(self) -> PreTrainedModel:
        return AutoModelForCausalLM.from_pretrained(
            self.model, dtype=torch.float32, attn_implementation="eager"
        )


# Every layer of these has a window, which leaves one form: the graph of the other is the same.
ONE_FORM = ("mistral", "phi3")


@pytest.fixture(
    scope="module",
    params=[f"{shape}: {form}" for shape in SHAPES for form in (FORMS[:1] if shape in ONE_FORM else FORMS)],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    shape, form = request.param.split(": ")
    return Exported(shape, form, tmp_path_factory.mktemp("family"))


@pytest.mark.parametrize("prefix", ["no", "short", "long"])
def test_the_graph_answers_as_the_original(exported: Exported, prefix: str) -> None:
    # 300 tokens are many windows long. More of them try the arithmetic alone, which all families share.
    prefix_length = {"no": 0, "short": 33, "long": 2000 if exported.shape == "smollm2" else 300}[prefix]
    tokens = np.random.default_rng(prefix_length)
    shared = list(tokens.integers(1, 257, prefix_length))
    rows = [list(tokens.integers(1, 257, length)) for length in (1, 50)]
    for row, actual in zip(rows, exported.graph.answers(shared, rows), strict=True):
        expected = original_answers(exported.original, shared, row, exported.graph.label_ids)
        np.testing.assert_allclose(actual.label_logits, expected.label_logits, atol=1e-4, rtol=0)
        # Relative to the vector: some families' hidden states grow large.
        error = np.linalg.norm(actual.pooled - expected.pooled, axis=-1)
        assert (error <= 1e-5 * np.linalg.norm(expected.pooled, axis=-1)).all()


def test_every_decoder_is_among_the_tested() -> None:
    assert {family for family, _ in SHAPES.values()} == {name for name, f in FAMILIES.items() if f.bound}


def _uncapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "soft_capped", lambda scores, _cap: scores)


def _answers_uncapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "soft_capped", lambda scores, _cap: scores)


def _every_window_too_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = attention.Prefix.masks
    monkeypatch.setattr(attention.Prefix, "masks", lambda self, w: masks(self, w and w + 1))


def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = attention.Prefix.masks
    monkeypatch.setattr(attention.Prefix, "masks", lambda self, _: masks(self, None))


@pytest.mark.parametrize(
    ("shape", "breakage"),
    [
        ("gemma2", _uncapped),
        ("gemma2", _answers_uncapped),
        ("gemma2", _every_window_too_wide),
        ("gemma3", _no_window),
        ("mistral", _every_window_too_wide),
        ("phi3", _no_window),
        ("qwen2, sliding", _every_window_too_wide),
    ],
)
def test_a_feature_left_out_fails_the_gate(
    shape: str,
    breakage: Callable[[pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = write_tiny_model(tmp_path / "model", shape)
    breakage(monkeypatch)
    with pytest.raises(ExportError, match="is not the original model"):
        export_on_cpu(str(model), TASK, tmp_path / "out")


def test_a_window_as_long_as_the_context_costs_nothing(tmp_path: Path) -> None:
    sizes = {}
    for window in (128, 512, None):
        model = write_tiny_model(
            tmp_path / f"{window}", "phi3", sliding_window=window, max_position_embeddings=512
        )
        export_on_cpu(str(model), TASK, tmp_path / f"{window}.out")
        sizes[window] = len(
            onnx.load(tmp_path / f"{window}.out" / MODEL, load_external_data=False).graph.node
        )
    assert sizes[512] == sizes[None] < sizes[128]


def test_longrope_is_read_up_to_its_original_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the long factors beyond, transformers answers otherwise; no engine of the bundle gets there."""
    made = Exported("phi3.5", "joined", tmp_path)
    bundle = made.graph.bundle
    assert bundle.manifest.source.context == ORIGINAL_CONTEXT
    tokens = np.random.default_rng(0)
    prefix, row = list(tokens.integers(1, 257, ORIGINAL_CONTEXT - 9)), list(tokens.integers(1, 257, 9))
    for more, same in (([], True), ([7], False)):
        (actual,) = made.graph.answers(prefix, [row + more])
        expected = original_answers(made.original, prefix, row + more, made.graph.label_ids)
        assert np.allclose(actual.label_logits, expected.label_logits, atol=1e-3, rtol=0) == same
    used = len(bundle.manifest.prompt.prefix)
    suffix = max(len(bundle.manifest.prompt.risk_suffix), len(bundle.manifest.prompt.severity_suffix))
    room = ORIGINAL_CONTEXT - used - suffix
    for size in (room, room + 1):
        monkeypatch.setattr(
            "engine.bundle.bundle.PROMPTED", Windowing(tokens=size, overlap=0, whole=size, sentences=False)
        )
        with nullcontext() if size == room else pytest.raises(SettingsError, match="a shorter prompt"):
            load_engine(bundle, device="cpu", threads=1, device_tokens=5000)


def test_a_prompt_that_would_need_the_long_factors_is_refused(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model", "phi3.5", original_max_position_embeddings=64)
    with pytest.raises(ExportError, match="reads 64: shorten the instruction"):
        export_on_cpu(str(model), TASK, tmp_path / "out")


def test_the_gate_asks_for_no_more_than_the_context(tmp_path: Path) -> None:
    """Its longest sample would take the original to the long factors, and the two would differ."""
    model = write_tiny_model(tmp_path / "model", "phi3.5", original_max_position_embeddings=160)
    assert export_on_cpu(str(model), TASK, tmp_path / "out").manifest.source.context == 160


@pytest.mark.parametrize(
    ("shape", "overrides", "passed", "feature"),
    [
        ("llama 3.2", {}, {"s_aux": torch.zeros(6)}, "s_aux"),
        ("llama 3.2", {}, {"position_bias": torch.zeros(1)}, "position_bias"),
        ("qwen2.5", {}, {"head_mask": torch.ones(6)}, "head_mask"),
        ("phi3", {}, {"dropout": 0.1}, "dropout"),
        ("gemma3", {"use_bidirectional_attention": True}, {}, "bidirectional attention"),
    ],
)
def test_an_attention_that_does_more_is_refused(
    shape: str,
    overrides: dict[str, Any],
    passed: dict[str, Any],
    feature: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def more(*arguments: Any, **named: Any) -> Any:
        return attention.attend(*arguments, **{**named, **passed})

    monkeypatch.setitem(AttentionInterface._global_mapping, attention.NAME, more)
    model = write_tiny_model(tmp_path / "model", shape, **overrides)
    with pytest.raises(ExportError, match=rf"model .*an unsupported attention feature \({feature}\)"):
        export_on_cpu(str(model), TASK, tmp_path / "out")
    assert not (tmp_path / "out").exists()
