"""transformers on torch, in the precision that the CPU is quickest in. It reads the full prompt each time."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from bench.peers import Rows
from bench.peers.convert import safetensors_folder
from bench.peers.optimum_padded import padded
from bench.peers.spec import Spec
from bench.yardstick.machine import quickest_precision


def prepare(spec: Spec) -> None:
    """Dequantise the GGUF into a folder."""
    safetensors_folder(Path(spec.gguf), spec.folder)


class Peer:
    """Runs left-padded batches within a budget of tokens."""

    def __init__(self, spec: Spec) -> None:
        torch.set_num_threads(spec.threads)
        kind = torch.float32 if quickest_precision() == "fp32" else torch.bfloat16
        self._model = AutoModelForCausalLM.from_pretrained(spec.folder / "transformers", dtype=kind).eval()
        self._prefix, self._labels = spec.prefix, spec.labels
        self.runs = f"{str(kind).removeprefix('torch.')}, {spec.threads} threads"

    def read(self, rows: Rows) -> list[float | None]:
        """The log-odds from the last logits."""
        prompts = [self._prefix + row for row in rows]
        return padded(self._model, prompts, self._labels, {"use_cache": False, "logits_to_keep": 1})
