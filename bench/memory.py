"""Where the engine's memory is: this process's, after each stage of opening and running a bundle on OpenVINO.

    python -m bench.memory BUNDLE [--output label_logits]

"private" is memory of this process alone, which a container must have. "file" is mapped files, such as the
weights: pages that the kernel can drop and read again.
"""

import argparse
import gc
import time
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import openvino as ov

from engine.bundle import WEIGHTS, Bundle
from engine.device_names import Output, Precision
from engine.devices.device import Graph, Ids
from engine.devices.memory import release_pages
from engine.devices.openvino import _compile, _keys_and_values, _names
from engine.reading.reader import load_tokenizer, tokenise_prompt

_PRECISION: Final[Precision] = "bf16"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--output", choices=get_args(Output), default="label_logits")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print("| after | seconds | private, MB | file, MB |\n|---|---|---|---|", flush=True)
    stage = Stages()
    bundle = Bundle.load(options.bundle)
    stage("the bundle is verified")
    tokenizer = load_tokenizer(bundle.path)
    prefix = np.array(tokenise_prompt(tokenizer, bundle.manifest.prompt).prefix, np.int64)
    stage("the tokenizer is loaded")
    graph, core = Graph.of(bundle, options.output), ov.Core()
    weights = graph.model.with_name(WEIGHTS)
    model = core.read_model(graph.model)
    stage("the graph is read")
    first = _compile(core, model, graph.present, _PRECISION, options.threads)
    stage("the prefix's graph is compiled")
    past = _keys_and_values(first, graph, prefix)
    del first
    gc.collect()
    stage("the prefix has run, its graph is dropped")
    compiled = _compile(core, model, [graph.output], _PRECISION, options.threads)
    stage("the graph is compiled")
    request = compiled.create_infer_request()
    bound = _names(compiled.inputs)
    for name, value in zip(graph.past, past, strict=True):
        if name in bound:
            request.set_tensor(name, ov.Tensor(value, shared_memory=bool(value.size)))
    for rows, length in ((16, 60), (32, 60), (8, 256)):
        _run(request, np.ones((rows, length), np.int64))
        stage(f"a run of {rows} rows of {length}")
        if (rows, length) == (16, 60):
            release_pages(weights)
            stage("the file's pages are released")


class Stages:
    """Prints a line of the table for each stage that has ended."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Print what this process holds now."""
        held = {"Rss:": 0, "Anonymous:": 0}
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
            name, size, *_ = line.split()
            if name in held:
                held[name] = int(size) >> 10
        rss, private = held.values()
        seconds = time.perf_counter() - self._began
        print(f"| {stage} | {seconds:.1f} | {private} | {rss - private} |", flush=True)


def _run(request: Any, ids: Ids) -> None:  # openvino ships no types
    lengths = np.full(len(ids), ids.shape[1], np.int64)
    request.set_tensor("input_ids", ov.Tensor(ids, shared_memory=True))
    request.set_tensor("lengths", ov.Tensor(lengths, shared_memory=True))
    request.infer(share_outputs=True)


if __name__ == "__main__":
    main()
