"""Runs an exported graph as a worker does, and its original model by transformers, to compare the two."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from engine.bundle import MODEL, Bundle

Floats = NDArray[np.float32]


class Answers(NamedTuple):
    """`label_logits` [labels] and `pooled` [layers, hidden] of one row."""

    label_logits: Floats
    pooled: Floats


class GraphRun:
    """Runs the graph of a bundle on ONNX Runtime with one thread."""

    def __init__(self, folder: Path) -> None:
        self.bundle = Bundle.load(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(folder / MODEL, options)
        self._pasts = [value.name for value in self._session.get_inputs() if value.name.startswith("past_")]

    @property
    def label_ids(self) -> list[int]:
        """The label tokens, in the order of the columns of `label_logits`."""
        return [label.token_id for label in self.bundle.manifest.labels]

    def answers(self, prefix: list[int], rows: Sequence[list[int]]) -> list[Answers]:
        """Run the prefix alone, bind it, and run all rows in one padded batch."""
        outputs = self.run(rows, self._past(prefix))
        return list(map(Answers, outputs["label_logits"], outputs["pooled"]))

    def run(self, rows: Sequence[list[int]], past: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run one padded batch and return every output by name."""
        ids, lengths = padded(rows)
        names = [value.name for value in self._session.get_outputs()]
        outputs = self._session.run(names, {"input_ids": ids, "lengths": lengths, **(past or {})})
        return dict(zip(names, outputs, strict=True))

    def _past(self, prefix: list[int]) -> dict[str, Any]:
        source = self.bundle.manifest.source
        empty = np.zeros((1, source.kv_heads, 0, source.head_dim), np.float32)
        past = dict.fromkeys(self._pasts, empty)
        if prefix:
            outputs = self.run([prefix], past)
            past = {name: outputs[name.replace("past", "present")] for name in self._pasts}
        return past


def padded(rows: Sequence[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows as `input_ids` and `lengths`."""
    lengths = np.array([len(row) for row in rows], np.int64)
    # Any token may serve as padding, since it must not matter.
    ids = np.full((len(rows), lengths.max()), 5, np.int64)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = row
    return ids, lengths


def original_answers(
    model: PreTrainedModel, prefix: list[int], row: list[int], label_ids: list[int]
) -> Answers:
    """Run the prefix and one row in a single pass of the unmodified model."""
    states: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        states.append(output[0] if isinstance(output, tuple) else output)

    untyped: Any = model
    hooks = [layer.register_forward_hook(keep) for layer in untyped.model.layers]
    with torch.no_grad():
        logits = untyped(input_ids=torch.tensor([prefix + row]), use_cache=False, logits_to_keep=1).logits
    for hook in hooks:
        hook.remove()
    pooled = np.stack([state[0, len(prefix) :].mean(0).numpy() for state in states])
    return Answers(logits[0, -1].numpy()[label_ids], pooled)
