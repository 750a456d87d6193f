"""onnxruntime-genai reads the prefix once, then each row after it, and rewinds to the prefix in between.

Its continuous decoding takes one sequence at a time. It runs in fp32, as its model builder does for a CPU.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime_genai as og

from bench.peers import Rows
from bench.peers.convert import kept, safetensors_folder
from bench.peers.spec import Spec


def prepare(spec: Spec) -> None:
    """Make the graph with the library's own builder."""
    source = safetensors_folder(Path(spec.gguf), spec.folder)

    def build(out: Path) -> None:
        command = ["-m", "onnxruntime_genai.models.builder", "-i", str(source), "-o", str(out)]
        cache = ["-c", str(spec.folder / "builder-cache")]
        subprocess.run([sys.executable, *command, "-p", "fp32", "-e", "cpu", *cache], check=True)

    kept(spec.folder / "onnxruntime-genai", build)


class Peer:
    """Uses one generator, which is rewound after each row and never finished."""

    def __init__(self, spec: Spec) -> None:
        config = og.Config(str(spec.folder / "onnxruntime-genai"))
        session = {"session_options": {"intra_op_num_threads": spec.threads}}
        config.overlay(json.dumps({"model": {"decoder": session}}))
        model = og.Model(config)
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=len(spec.prefix) + 256, do_sample=False)
        self._generator = og.Generator(model, params)
        self._generator.append_tokens(np.array(spec.prefix, np.int32))
        self._length = len(spec.prefix)
        self._labels = spec.labels
        self._keep = model
        self.runs = f"fp32, {spec.threads} threads"

    def read(self, rows: Rows) -> list[float | None]:
        """The log-odds from the logits after each row."""
        clear, at_risk = self._labels
        answers: list[float | None] = []
        for row in rows:
            self._generator.append_tokens(np.array(row, np.int32))
            logits = np.asarray(self._generator.get_logits()).reshape(-1)
            answers.append(float(logits[at_risk] - logits[clear]))
            self._generator.rewind_to(self._length)
        return answers
