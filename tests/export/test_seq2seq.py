"""FLAN-T5 as a bundle: the prefix in each row, scored by its first word, prompted reading only."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from engine.bundle import Bundle
from engine.errors import BundleError, SettingsError
from engine.load import load_engine, open_reader
from engine.reading.engines import softmax
from export.adapting.adapt import adapt
from export.baselines.known import Machine, baselines
from export.building.build import build_bundle
from export.errors import ExportError
from export.evaluating.evaluate import evaluate
from export.examples import LabelledExample
from export.exporting import seq2seq
from tests.fakes.exporting import export_on_cpu
from tests.fakes.graph_run import GraphRun
from tests.fakes.tiny_llama import TASK
from tests.fakes.tiny_models import SEQ2SEQ, write_tiny_model

TEXTS = ["ok", "I cannot sleep, again and again", "", "lunch? " * 40]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=SEQ2SEQ)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("t5") / "model", request.param)


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    export_on_cpu(str(model), TASK, model.parent / "out")
    return Bundle.load(model.parent / "out")


@pytest.mark.parametrize("prefix_length", [0, 33, 600])
def test_the_graph_answers_as_the_original(bundle: Bundle, model: Path, prefix_length: int) -> None:
    original = AutoModelForSeq2SeqLM.from_pretrained(model, dtype=torch.float32)
    graph = GraphRun(bundle.path)
    tokens = np.random.default_rng(prefix_length)
    prefix = list(tokens.integers(3, 190, prefix_length))
    rows = [prefix + list(tokens.integers(3, 190, length)) for length in (1, 50)]
    actual = graph.run(rows)["label_logits"]
    for row, logits in zip(rows, actual, strict=True):
        with torch.no_grad():
            answer = original(input_ids=torch.tensor([row]), decoder_input_ids=torch.tensor([[0]]))
        expected = answer.logits[0, 0, graph.label_ids].numpy()
        np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=0)


def test_the_engine_reads_what_the_original_would_be_asked(bundle: Bundle, model: Path) -> None:
    """The text as one, tokenised by transformers with its </s>, gives the engine's scores."""
    manifest = bundle.manifest
    assert manifest.prompt.risk_suffix.endswith("Answer:</s>")
    tokenizer = AutoTokenizer.from_pretrained(model)
    original = AutoModelForSeq2SeqLM.from_pretrained(model, dtype=torch.float32)
    answers = [tokenizer.convert_tokens_to_ids(f"\u2581{letter}") for letter in "nyab"]
    assert [label.token_id for label in manifest.labels] == answers
    engine = load_engine(bundle, device="cpu", threads=1)
    for text, scores in zip(TEXTS[:2], engine.read(TEXTS[:2]), strict=True):
        question = f"Read the message.\n\nMessage: {text}\nRisk? y or n\nAnswer:"
        ids = tokenizer(question, return_tensors="pt").input_ids
        assert ids[0, -1] == tokenizer.eos_token_id
        with torch.no_grad():
            answer = original(input_ids=ids, decoder_input_ids=torch.tensor([[0]]))
        expected = softmax(answer.logits[0, 0, answers[:2]].numpy())
        assert scores.risk == pytest.approx(expected[1], abs=1e-4)


def test_the_batch_law_holds(bundle: Bundle) -> None:
    engine = load_engine(bundle, device="cpu", threads=1)
    together = engine.read(TEXTS)
    assert [scores.truncated for scores in together] == [False, False, True, False]
    for text, scores in zip(TEXTS, together, strict=True):
        assert engine.read([text])[0].risk == pytest.approx(scores.risk, abs=1e-5)


def test_openvino_runs_it_too(bundle: Bundle) -> None:
    risks = [
        [scores.risk for scores in load_engine(bundle, device=device, precision="fp32").read(TEXTS)]
        for device in ("cpu", "openvino")
    ]
    np.testing.assert_allclose(risks[0], risks[1], atol=1e-3)


def test_it_is_evaluated_and_cannot_be_adapted(bundle: Bundle, tmp_path: Path) -> None:
    examples = [
        LabelledExample(f"message {n}", n % 2 == 0, severity="high" if n % 2 else "low") for n in range(12)
    ]
    report = evaluate(load_engine(bundle, device="cpu"), bundle, examples)
    assert (report.reading, report.examples) == ("prompted", 12)
    assert report.severity is not None
    with pytest.raises(BundleError, match="has the prompted reading only"):
        adapt(bundle.path, examples, tmp_path / "adapted", lambda *_: None)
    assert not (tmp_path / "adapted").exists()


def test_windows_leave_room_for_the_prefix_in_each_row(bundle: Bundle) -> None:
    prompt = open_reader(bundle, "label_logits", device="cpu").prompt
    around = len(prompt.prefix) + max(len(prompt.risk_suffix), len(prompt.severity_suffix))
    window = bundle.windowing.whole
    load_engine(bundle, device="cpu", device_tokens=window + around)
    with pytest.raises(SettingsError, match="raise device_tokens"):
        load_engine(bundle, device="cpu", device_tokens=window - 1 + around)


def test_a_recipe_gives_the_bundle_back(bundle: Bundle, model: Path, tmp_path: Path) -> None:
    built = build_bundle(model.parent / "out.recipe", tmp_path / "built", model)
    assert built.fingerprint == bundle.fingerprint
    assert not built.manifest.bound


@pytest.mark.parametrize("feature", ["_start", "_scale"])
def test_a_graph_that_answers_differently_fails_the_gate(
    feature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny_model(tmp_path / "model", "t5 1.0")
    made = seq2seq.FirstAnswerGraph.__init__

    def broken(self: seq2seq.FirstAnswerGraph, *arguments: object) -> None:
        made(self, *arguments)  # type: ignore[arg-type]
        setattr(self, feature, {"_start": 5, "_scale": None}[feature])

    monkeypatch.setattr(seq2seq.FirstAnswerGraph, "__init__", broken)
    with pytest.raises(ExportError, match="is not the original model"):
        export_on_cpu(str(model), TASK, tmp_path / "out")


def test_a_context_shorter_than_the_prompt_is_refused(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model", "flan-t5", n_positions=40)
    with pytest.raises(ExportError, match="reads 40: shorten the instruction"):
        export_on_cpu(str(model), TASK, tmp_path / "out")


def test_it_is_a_baseline_beside_any_other_bundle(bundle: Bundle) -> None:
    (way,) = baselines([f"bundle:{bundle.path}"], TASK, machine=Machine("cpu", threads=1))
    engine = load_engine(bundle, device="cpu", threads=1)
    risks = way.risks([], TEXTS, lambda _: None)
    assert list(risks) == [scores.risk for scores in engine.read(TEXTS)]
    assert way.fewest == 0
