"""What int8 weights gain and cost on OpenVINO, beside the same graph in bf16. No bundle stores them yet.

    python bench/quantised.py [BUNDLE]      default: the shipped recipe's bundle, built once

Weights become int8 with a scale for each output channel. They meet activations in bf16, or in int8 with a
scale for each group of features of a token (OpenVINO's dynamic quantisation, its default for such graphs).
Rates are in turn. `off` is the largest difference of a label logit from the original model's, within a stage,
over the bundle's samples; the gate is what `worker.engine.proof` tolerates in bf16.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench.yardstick.bundles import prompted_bundle
from export.layout import write_model
from worker.bundle import MODEL, TOKENIZER, Bundle
from worker.engine import Reader, open_reader, openvino_device
from worker.engine.proof import TOLERANCES, compare

GROUPS = (0, 32, 64, 128)
ROUNDS, ROWS, LENGTH = 5, 40, 48


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?", help="a full bundle")
    options = parser.parse_args()
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser() / "bench"
    bundle = Bundle.load(options.bundle) if options.bundle else prompted_bundle(0, home)
    with tempfile.TemporaryDirectory() as folder:
        small = msgspec.structs.replace(bundle, path=Path(folder))
        shutil.copyfile(bundle.path / TOKENIZER, small.path / TOKENIZER)
        quantise(bundle.path, small.path)
        readers = {"bf16 weights": opened(bundle, 0)}
        for group in GROUPS:
            name = f"int8 weights, activations {f'int8 in groups of {group}' if group else 'bf16'}"
            readers[name] = opened(small, group)
        rates = interleaved(readers)
        gate = TOLERANCES["bf16"].label_logits
        print(f"{'':48} messages/s  of bf16     off   (gate: {gate})")
        plain = statistics.median(rates["bf16 weights"])
        for name, reader in readers.items():
            rate = statistics.median(rates[name])
            off = compare(reader, bundle.reference, "label_logits", bundle.manifest).original
            print(f"{name:48} {rate:10.1f} {rate / plain:8.2f} {off:7.3f}")


def quantise(source: Path, out: Path) -> None:
    """Write `source`'s graph with int8 weights; embeddings are looked up, not multiplied, and stay."""
    model = onnx.load(source / MODEL)
    graph = model.graph
    alias = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    products = [node.input[1] for node in graph.node if node.op_type == "MatMul"]
    multiplied = {alias.get(name, name) for name in products}
    for tensor in list(graph.initializer):
        if tensor.name not in multiplied:
            continue
        name, weight = tensor.name, numpy_helper.to_array(tensor)
        scale = np.abs(weight).max(axis=0) / np.float32(127)
        scale[scale == 0] = 1
        rounded = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
        tensor.CopyFrom(numpy_helper.from_array(rounded, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
        inputs = [f"{name}_int8", f"{name}_scale"]
        graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], axis=1))
    write_model(model, out)


def opened(bundle: Bundle, group: int) -> Reader:
    """A reader whose activations are quantised in groups of `group`, or not at all, as in the worker."""
    openvino_device.DYNAMIC_QUANTISATION_GROUP = group
    try:
        return open_reader(bundle, "label_logits", device="openvino", precision="bf16")
    finally:
        openvino_device.DYNAMIC_QUANTISATION_GROUP = 0


def interleaved(readers: dict[str, Reader]) -> dict[str, list[float]]:
    """Messages a second by reader and round."""
    chance = np.random.default_rng(0)
    rows = [chance.integers(100, 40_000, LENGTH).tolist() for _ in range(ROWS)]
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(ROUNDS + 1):
        for name, reader in readers.items():
            began = time.perf_counter()
            reader.rows(rows)
            if turn:  # the first one warms up
                rates[name].append(ROWS / (time.perf_counter() - began))
    return rates


if __name__ == "__main__":
    main()
