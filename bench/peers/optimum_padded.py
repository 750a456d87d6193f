"""optimum's ORTModelForCausalLM in fp32, which many would try first. It reads the full prompt each time."""

from pathlib import Path
from typing import Any

import torch
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTModelForCausalLM

from bench.peers import Rows
from bench.peers.convert import kept, safetensors_folder
from bench.peers.spec import Spec
from engine.reading.packing import pack

_TOKENS = 2048  # per batch; it is small, since logits over the whole vocabulary are computed for every token


def prepare(spec: Spec) -> None:
    """Export as `optimum-cli export onnx` does."""
    source = safetensors_folder(Path(spec.gguf), spec.folder)
    kept(
        spec.folder / "optimum",
        lambda out: main_export(
            str(source), output=out, task="text-generation-with-past", do_validation=False
        ),
    )


class Peer:
    """Runs left-padded batches within a budget of tokens."""

    def __init__(self, spec: Spec) -> None:
        from onnxruntime import SessionOptions  # noqa: PLC0415 - needed only here

        options = SessionOptions()
        options.intra_op_num_threads = spec.threads
        self._model = ORTModelForCausalLM.from_pretrained(
            spec.folder / "optimum", session_options=options, use_cache=True
        )
        self._prefix, self._labels = spec.prefix, spec.labels
        self.runs = f"fp32, {spec.threads} threads"

    def read(self, rows: Rows) -> list[float | None]:
        """The log-odds from the last logits."""
        return padded(self._model, [self._prefix + row for row in rows], self._labels, {})


def padded(model: Any, prompts: Rows, labels: tuple[int, int], more: dict[str, Any]) -> list[float | None]:
    """Run a transformers-like model over padded batches of whole prompts."""
    answers: list[float | None] = [None] * len(prompts)
    clear, at_risk = labels
    for group in pack([len(prompt) for prompt in prompts], _TOKENS):
        longest = max(len(prompts[index]) for index in group)
        ids = torch.zeros((len(group), longest), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for line, index in enumerate(group):
            ids[line, longest - len(prompts[index]) :] = torch.tensor(prompts[index])
            mask[line, longest - len(prompts[index]) :] = 1
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, position_ids=places, **more).logits[:, -1]
        for index, row in zip(group, logits, strict=True):
            answers[index] = float(row[at_risk] - row[clear])
    return answers
