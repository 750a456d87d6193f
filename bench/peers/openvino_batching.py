"""openvino-genai with continuous batching and prefix caching: the strongest peer, set up as its users would.

It can read the Q4_1 GGUF, but repacks its weights and then answers differently from every other engine. So it
gets the same weights as an F16 GGUF, which is as fast or faster and gives the same answers as the others. A
KV cache in bf16 instead of its default was not faster.
"""

from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai as genai

from bench.peers import Rows
from bench.peers.convert import half_gguf
from bench.peers.spec import Spec


def prepare(spec: Spec) -> None:
    """Write the F16 GGUF."""
    half_gguf(Path(spec.gguf), spec.folder)


class Peer:
    """Passes all rows to one pipeline in one call; its scheduler batches them by tokens."""

    def __init__(self, spec: Spec) -> None:
        capable = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if "BF16" in capable else "f32"
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.max_num_batched_tokens = 2048
        scheduler.max_num_seqs = 256
        scheduler.dynamic_split_fuse = True
        scheduler.cache_size = 2  # GB: enough for the prefix and every row of a round
        model = str(half_gguf(Path(spec.gguf), spec.folder))
        properties = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": spec.threads}
        self._pipeline = genai.ContinuousBatchingPipeline(model, scheduler, "CPU", properties)
        self._config = genai.GenerationConfig()
        self._config.max_new_tokens = 1
        self._config.do_sample = False
        self._config.apply_chat_template = False
        self._prefix = spec.prefix
        self._labels = spec.labels
        self.runs = f"{precision}, prefix caching, {spec.threads} threads"
        self.read(spec.rows[:1])  # from here on, the cache holds the prefix's blocks

    def read(self, rows: Rows) -> list[float | None]:
        """Score the generated token: +1 for the answer of at_risk, -1 for that of clear, None for another."""
        inputs = [ov.Tensor(np.array([self._prefix + row], np.int64)) for row in rows]
        results = self._pipeline.generate(inputs, [self._config] * len(rows))
        signs = {self._labels[0]: -1.0, self._labels[1]: 1.0}
        return [signs.get(result.m_generation_ids[0][-1]) for result in results]
