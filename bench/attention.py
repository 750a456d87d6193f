"""Where the time of a run goes, by form of attention and length of the prefix: OpenVINO's own counters.

    python -m bench.attention [--prefix 50 523 1790] [--model smollm2]

The lowest layers are traced in each form (torch is needed) and run in bf16 on one thread with random keys and
values as prefix. Milliseconds are of one message and all traced layers, each step at its quickest of the
runs: so a busy machine changes them least. "GFLOP/s" counts the products alone.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino as ov

from engine.bundle import MODEL
from export.building.layout import write_model
from export.building.source import find_model
from export.building.tensors import Tensors
from export.exporting.fastest import TRIAL_LAYERS, TRIAL_WORDS
from export.exporting.forms import FORMS
from export.exporting.graph import shrunk, trace
from export.exporting.load import load_model
from export.exporting.shapes import Shapes

ROWS, LENGTH, RUNS = 10, 50, 25
_KINDS: Final = {
    "FullyConnected": "products with weights",
    "MatMul": "products of the attention",
    "Subgraph": "attention in one step",
    "Softmax": "softmax",
    "Concat": "joining and cutting scores",
    "Slice": "joining and cutting scores",
}
_OPTIONS: Final = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1, "PERF_COUNT": True}


def main() -> None:
    """Trace, run and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prefix", type=int, nargs="+", default=[50, 523, 1790])
    parser.add_argument("--model", default="smollm2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _traced(options.model, Path(folder)) as shapes:
        found = {
            (form, length): _profile(Path(folder) / form / MODEL, shapes, length)
            for length in options.prefix
            for form in FORMS
        }
    kinds = list(dict.fromkeys([*_KINDS.values(), "other"]))
    print("| ms a message | " + " | ".join(f"{form}, {length} tokens" for form, length in found) + " |")
    print("|---" * (len(found) + 1) + "|")
    for kind in kinds:
        print(f"| {kind} | " + " | ".join(f"{times[kind]:.2f}" for times in found.values()) + " |")
    sums = {case: sum(times.values()) for case, times in found.items()}
    print("| all | " + " | ".join(f"{total:.2f}" for total in sums.values()) + " |")
    weights = [times[kinds[0]] for times in found.values()]
    scores = [
        total - each - found[case]["other"] for (case, total), each in zip(sums.items(), weights, strict=True)
    ]
    flops = [_flops_of_attention(shapes, length) for _, length in found]
    print(
        "| GFLOP/s of the attention | "
        + " | ".join(f"{work / ms / 1e6:.0f}" for work, ms in zip(flops, scores, strict=True))
        + " |"
    )


@contextmanager
def _traced(model: str, folder: Path) -> Iterator[Shapes]:
    """Write the graph of the lowest layers in each form into `folder`."""
    files = find_model(model, lambda *_: None)
    loaded = load_model(files, {name for path in files.weights for name in Tensors(path)}, model)
    whole = Shapes.of(loaded.model.config, loaded.family)
    with shrunk(loaded.model, whole, TRIAL_LAYERS, TRIAL_WORDS) as shapes:
        for form in FORMS:
            (folder / form).mkdir()
            write_model(trace(loaded.model, shapes, [1, 2], form), folder / form)
        yield shapes


def _profile(path: Path, shapes: Shapes, prefix: int) -> dict[str, float]:
    """Milliseconds of a message by kind of step."""
    core, chance = ov.Core(), np.random.default_rng(0)
    model = core.read_model(path)
    request = core.compile_model(
        ov.Model([model.output("pooled").get_node()], model.get_parameters(), "part"), "CPU", _OPTIONS
    ).create_infer_request()
    inputs: dict[str, Any] = {
        f"past_{kind}.{layer}": chance.standard_normal(
            (1, shapes.kv_heads, prefix, shapes.head_dim), np.float32
        )
        for layer in range(shapes.layers)
        for kind in ("key", "value")
    }
    inputs["input_ids"] = chance.integers(0, TRIAL_WORDS, (ROWS, LENGTH))
    inputs["lengths"] = np.full(ROWS, LENGTH)
    before: dict[str, float] = defaultdict(float)
    least: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for run in range(1, RUNS + 1):
        request.infer(inputs)
        for step in request.get_profiling_info():
            # The library reports the mean of all runs so far.
            total = step.real_time.total_seconds() * 1000 * run
            spent, before[step.node_name] = total - before[step.node_name], total
            if run > 2:
                least[step.node_name] = min(spent, least.get(step.node_name, spent))
                kinds[step.node_name] = _KINDS.get(step.node_type, "other")
    times: dict[str, float] = defaultdict(float)
    for name, spent in least.items():
        times[kinds[name]] += max(0.0, spent) / ROWS
    return times


def _flops_of_attention(shapes: Shapes, prefix: int) -> float:
    """Of one message: scores and weighted values over the prefix and, on average, half of its own tokens."""
    return 4.0 * shapes.layers * shapes.heads * shapes.head_dim * LENGTH * (prefix + LENGTH / 2)


if __name__ == "__main__":
    main()
