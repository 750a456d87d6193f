"""Models in half precision on a GPU: whether they are the originals, how fast, and how busy the card is.

    mimamori bundle halve FULL --out HALF
    python -m bench.gpu smollm2=HALF … --texts sad.jsonl neutral.jsonl [--layer smollm2=16 …] [--json FILE]

Per model, a bundle that `mimamori bundle halve` made:

- parity: the proof that every worker runs at its start, as figures: the largest difference to the original
  model's answers, and between a row that is read alone and in a padded batch;
- the cost of a run: seconds = a + b x tokens, fitted to runs of many shapes; a / b is `run_cost`, in tokens;
- messages a second by `device_tokens`, of the graph alone: "pooled" cut at --layer, "prompted" at full depth
  with its question; on the texts' own lengths, medians of the turns with the slowest and the quickest;
- MFU: the arithmetic that the texts' tokens need (bench/yardstick/flops.py: no padding, no prefix) times the
  rate, over what square fp16 products reach on this card in the same library;
- the memory on the card, after 1, 10, 30, 60 and 120 batches of changing sizes, beyond what it was before;
- with --labels, F1 of heads on vectors that the GPU read, over splits as in bench/models.py.

`--device cpu` runs the same on ONNX Runtime's CPU provider, which is slow in fp16 and serves as a check.
"""

import argparse
import itertools
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from bench.models import Rate, cut, rows_of, split_row
from bench.yardstick.flops import mean_flop, shape_of
from bench.yardstick.labelled import Labelled, read_labelled, splits
from bench.yardstick.machine import describe
from engine.bundle import Bundle, write_manifest
from engine.device_names import DeviceChoice, Output
from engine.devices.cuda_libraries import find_cuda
from engine.devices.device import RUN_TOKENS
from engine.errors import DeviceError
from engine.load import open_reader
from engine.proof import compare
from engine.reading.reader import Reader
from export.adapting.heads import Vectors
from export.adapting.windowing import UNCUT, read_windows

TOKENS: Final = (2048, 8192, 32768, 131072)
_TURNS: Final = 6
_SHAPES: Final = tuple((rows, long) for long in (16, 32, 64) for rows in (1, 8, 32, 128, 512, 1024))
_SQUARE: Final = 8192
_BATCHES: Final = (1, 10, 30, 60, 120)


class RunCost(NamedTuple):
    """seconds = launch + token x tokens, of runs of rows that are not padded."""

    launch: float
    token: float

    @property
    def tokens(self) -> float:
        """What a run costs before its first token, in tokens."""
        return self.launch / self.token


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", metavar="NAME=FOLDER", help="full bundles in fp16")
    parser.add_argument(
        "--texts", type=Path, nargs="+", required=True, help="labelled JSONL, as bench.models"
    )
    parser.add_argument("--layer", action="append", default=[], metavar="NAME=N", help="default: the middle")
    parser.add_argument("--count", type=int, default=4096, help="messages that are read in a turn")
    parser.add_argument("--tokens", type=int, nargs="+", default=list(TOKENS))
    parser.add_argument("--labels", type=int, nargs="*", default=[], help="F1 with so many labels")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = read_labelled(options.texts)
    texts = [data.texts[number % len(data.texts)] for number in range(options.count)]
    layers = {name: int(layer) for name, layer in (each.split("=", 1) for each in options.layer)}
    peak = _peak(options.device)
    found: dict[str, Any] = {
        "machine": describe() | {"gpu": _card()},
        "peak_tflops": peak / 1e12,
        "texts": len(texts),
        "models": {},
    }
    print(f"{_card() or options.device}: {peak / 1e12:.0f} TFLOP/s in fp16 products of {_SQUARE}", flush=True)
    for name, folder in (each.split("=", 1) for each in options.bundles):
        bundle = Bundle.load(Path(folder))
        layer = layers.get(name, bundle.manifest.source.layers // 2)
        of = _model(bundle, layer, texts, options.tokens, options.device, peak)
        found["models"][name] = of
        print("\n".join(_told(name, of)), flush=True)
        if options.labels:
            of["f1"] = _f1(bundle, data, options)
            for count, f1s in of["f1"].items():
                print(f"  F1 with {count} labels {np.mean(f1s):.3f} ± {np.std(f1s):.3f}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")


def _f1(bundle: Bundle, data: Labelled, options: argparse.Namespace) -> dict[int, list[float]]:
    """F1 of each split, by the number of labels. Raises DeviceError: some vectors are not numbers."""
    reader = open_reader(bundle, "pooled", device=options.device, device_tokens=max(options.tokens))
    read = read_windows(reader, data.texts, UNCUT)
    if broken := int((~np.isfinite(read.windows)).any(axis=(1, 2)).sum()):
        raise DeviceError(f"{bundle.path}: {broken} of {len(read.windows)} vectors are not numbers")
    vectors = Vectors(read.windows.astype(np.float32), read.starts)
    return {
        count: [split_row(vectors, data, *each).f1 for each in splits(data.labels, options.splits, count, 1)]
        for count in options.labels
    }


def _model(
    bundle: Bundle, layer: int, texts: list[str], tokens: Sequence[int], device: DeviceChoice, peak: float
) -> dict[str, Any]:
    of: dict[str, Any] = {"layer": layer, "layers": bundle.manifest.source.layers, "readings": {}}
    with tempfile.TemporaryDirectory(dir=bundle.path.parent) as folder:
        shorter = cut(bundle, layer, Path(folder) / "cut")
        write_manifest(shorter.path, shorter.manifest)
        graphs: dict[Output, Bundle] = {"pooled": shorter, "label_logits": bundle}
        for output, read in graphs.items():
            of["readings"][output] = _reading(bundle, read, output, texts, tokens, device, peak)
    return of


def _reading(
    full: Bundle,
    bundle: Bundle,
    output: Output,
    texts: list[str],
    tokens: Sequence[int],
    device: DeviceChoice,
    peak: float,
) -> dict[str, Any]:
    """One reading of a model, of the graph `bundle`, whose parity is shown on the graph `full`."""
    whole = open_reader(full, output, device=device, device_tokens=max(tokens))
    apart = compare(whole, full.reference, output, full.manifest)
    del whole
    reader = open_reader(bundle, output, device=device, device_tokens=max(tokens))
    rows = rows_of(reader, texts, output)
    flop = mean_flop(shape_of(bundle.path), len(reader.prompt.prefix), [len(row) for row in rows])
    cost = _run_cost(reader)
    rates = {budget: _rate(reader, rows, budget, len(texts)) for budget in tokens}
    best = max(rates.values(), key=lambda rate: rate.median)
    return {
        "parity": apart._asdict(),
        "run_cost": cost._asdict() | {"tokens": cost.tokens},
        "gflop": flop / 1e9,
        "tokens_a_message": float(np.mean([len(row) for row in rows])),
        "prefix": len(reader.prompt.prefix),
        "rates": {budget: rate._asdict() for budget, rate in rates.items()},
        "mfu": best.median * flop / peak,
        "memory_mb": _growth(reader, rows) if _memory() else [],
    }


def _rate(reader: Reader, rows: Sequence[Sequence[int]], budget: int, texts: int) -> Rate:
    """Messages a second in runs of at most `budget` tokens; the first turn only warms up."""
    reader.device_tokens = budget
    seconds = []
    for _ in range(_TURNS):
        began = time.perf_counter()
        reader.rows(rows)
        seconds.append(time.perf_counter() - began)
    return Rate(*(texts / spent for spent in (median(seconds[1:]), max(seconds[1:]), min(seconds[1:]))))


def _growth(reader: Reader, rows: Sequence[Sequence[int]]) -> list[int]:
    """Megabytes in use on the card, and how many more after some batches of rows drawn at random."""
    reader.device_tokens = RUN_TOKENS[reader.device.name]
    chance = np.random.default_rng(0)
    before, grown = _memory(), []
    for number in range(1, max(_BATCHES) + 1):
        reader.rows([rows[place] for place in chance.integers(0, len(rows), chance.integers(64, 2048))])
        if number in _BATCHES:
            grown.append(_memory() - before)
    return [before, *grown]


def _run_cost(reader: Reader) -> RunCost:
    """Fitted to medians, each relative to itself, so that long runs do not decide alone."""
    tokens, seconds = [], []
    for count, long in (shape for shape in _SHAPES if math.prod(shape) <= reader.device_tokens):
        rows = [[reader.prompt.blank] * long] * count
        spent = []
        for _ in range(_TURNS):
            began = time.perf_counter()
            reader.together(rows)
            spent.append(time.perf_counter() - began)
        tokens.append(count * long)
        seconds.append(median(spent[1:]))
    weight = 1 / np.array(seconds)
    columns = np.column_stack([np.ones(len(tokens)), tokens]) * weight[:, None]
    launch, token = np.linalg.lstsq(columns, np.ones(len(tokens)), rcond=None)[0]
    return RunCost(float(launch), float(token))


def _peak(device: DeviceChoice) -> float:
    """FLOP/s of a chain of square fp16 products, whose operands stay on the device."""
    side, chain = (_SQUARE, 8) if device == "cuda" else (512, 2)
    chance = np.random.default_rng(0)
    weight = (chance.standard_normal((side, side)) / side**0.5).astype(np.float16)
    names = [f"x{number}" for number in range(chain + 1)]
    kind, shape = TensorProto.FLOAT16, [side, side]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)],
        "products",
        [helper.make_tensor_value_info(name, kind, shape) for name in (names[0], "w")],
        [helper.make_tensor_value_info(names[-1], kind, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    if device == "cuda":
        find_cuda(ort)
    session = ort.InferenceSession(model.SerializeToString(), providers=[provider])
    binding = session.io_binding()
    for name in (names[0], "w"):
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(weight, device))
    binding.bind_output(names[-1], device)
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        seconds.append(time.perf_counter() - began)
    return 2.0 * side**3 * chain / median(seconds[3:])


def _smi(query: str) -> str:
    try:
        told = subprocess.check_output(
            ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"],  # noqa: S607
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told.splitlines()[0].strip()


def _card() -> str:
    return _smi("name,driver_version")


def _memory() -> int:
    """Megabytes in use on the card; 0 without one."""
    return int(_smi("memory.used") or 0)


def _told(name: str, of: dict[str, Any]) -> Iterator[str]:
    for output, reading in of["readings"].items():
        depth = of["layer"] if output == "pooled" else of["layers"]
        parity, cost = reading["parity"], reading["run_cost"]
        yield (
            f"{name} {output}, {depth} of {of['layers']} layers: off by {parity['original']:.2g}, "
            f"neighbours {parity['batch']:.2g}, agreement {parity['agreement']:.4g}"
        )
        yield (
            f"  a run costs {cost['launch'] * 1e3:.2f} ms = {cost['tokens']:.0f} tokens; a message "
            f"{reading['tokens_a_message']:.1f} tokens behind {reading['prefix']}, "
            f"{reading['gflop']:.2f} GFLOP; MFU {reading['mfu']:.1%}"
        )
        for budget, rate in reading["rates"].items():
            spread = f"({rate['slowest']:.0f}-{rate['quickest']:.0f})"
            yield f"  {budget:>7} tokens a run: {rate['median']:.0f}/s {spread}"
        if reading["memory_mb"]:
            yield f"  memory on the card, beyond {reading['memory_mb'][0]} MB: +{reading['memory_mb'][1:]} MB"


if __name__ == "__main__":
    main()
