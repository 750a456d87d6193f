"""Describes this machine, and measures its peak of arithmetic, which bounds every engine.

The peak is measured with plain matrix products in the precision of inference, in a process of its own that
takes part in each round like an engine: `python -m bench.yardstick.machine THREADS` measures once for every
line of stdin.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.devices.processor import this_processor

CpuClass = Literal["amx", "avx512_bf16", "slow_bf16", "fp32"]

# Rows, depth, columns: square products, and those of a small model's MLP with a full batch.
SHAPES = ((2048, 2048, 2048), (4096, 2048, 2048), (1536, 4096, 4096), (2048, 576, 1536))
_CHAIN = 4  # products in a chain, so that the cost of calling the library is small
_REPEATS = 5


def cpu_class() -> CpuClass:
    """The CPU's class by its quickest matrix arithmetic; figures are comparable only within a class.

    The last two are quickest in fp32.
    """
    processor = this_processor()
    if {"amx_bf16", "amx_tile"} <= processor.flags:
        return "amx"
    if "avx512_bf16" in processor.flags:
        return "avx512_bf16" if processor.is_quick_in_bf16 else "slow_bf16"
    return "fp32"


def quickest_precision() -> Literal["bf16", "fp32"]:
    """In which precision this CPU multiplies most quickly."""
    return "bf16" if cpu_class() in {"amx", "avx512_bf16"} else "fp32"


def describe() -> dict[str, Any]:
    """The machine and the versions that a reader needs to compare figures."""
    names = (
        *("openvino", "openvino-genai", "onnxruntime", "onnxruntime-genai", "optimum", "optimum-onnx"),
        *("torch", "transformers", "ctranslate2", "xllamacpp"),
    )
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    model = "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "revision": revision(),
        "cpu": model,
        "cpu_class": cpu_class(),
        "cores": cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "versions": versions,
    }


def revision() -> str:
    """The measured commit, with a plus where files differ from it; "unknown" without git."""
    git = ["git", "-C", str(Path(__file__).parents[2])]
    try:
        commit = subprocess.check_output([*git, "rev-parse", "--short=10", "HEAD"], text=True).strip()
        changed = subprocess.check_output([*git, "status", "--porcelain", "-uno"], text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}+" if changed else commit


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peaks(threads: int, repeats: int = _REPEATS) -> dict[str, float]:
    """GFLOP/s by "library precision MxKxN": medians of `repeats`, for every installed library."""
    found: dict[str, float] = {}
    precision = quickest_precision()
    for library, product in (("openvino", _openvino), ("torch", _torch)):
        for rows, depth, columns in SHAPES:
            with contextlib.suppress(ImportError):
                run, flop = product(rows, depth, columns, threads, precision)
                name = f"{library} {precision} {rows}x{depth}x{columns}"
                found[name] = flop / _median_seconds(run, repeats) / 1e9
    return found


def _median_seconds(run: Callable[[], Any], repeats: int) -> float:
    run()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _openvino(
    rows: int, depth: int, columns: int, threads: int, precision: str
) -> tuple[Callable[[], Any], float]:
    import openvino as ov  # noqa: PLC0415 - this module is also imported where it is not installed
    from openvino import opset13 as ops  # noqa: PLC0415

    key = rows, depth, columns, threads, precision
    if key not in _COMPILED:
        chance = np.random.default_rng(0)
        x = ops.parameter([rows, depth], ov.Type.f32)
        node = x
        # The chain multiplies there and back, so that the result of each product is the next one's operand.
        for a, b in ((depth, columns), (columns, depth)) * (_CHAIN // 2):
            weight = (chance.standard_normal((a, b)) / a**0.5).astype(np.float32)
            node = ops.matmul(node, ops.constant(weight), False, False)
        options = {
            "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        request = ov.Core().compile_model(ov.Model([node], [x]), "CPU", options).create_infer_request()
        values = chance.standard_normal((rows, depth)).astype(np.float32)
        request.set_input_tensor(ov.Tensor(values, shared_memory=True))
        _COMPILED[key] = request, values
    request = _COMPILED[key][0]
    return request.infer, 2.0 * rows * depth * columns * _CHAIN


_COMPILED: dict[Any, Any] = {}


def _torch(
    rows: int, depth: int, columns: int, threads: int, precision: str
) -> tuple[Callable[[], Any], float]:
    import torch  # noqa: PLC0415 - optional, since it takes gigabytes

    torch.set_num_threads(threads)
    kind = torch.float32 if precision == "fp32" else torch.bfloat16
    a, b = torch.randn(rows, depth, dtype=kind), torch.randn(depth, columns, dtype=kind)

    def run() -> None:
        for _ in range(_CHAIN):
            a @ b

    return run, 2.0 * rows * depth * columns * _CHAIN


def main() -> None:
    """Measure once for every line of stdin."""
    threads = int(sys.argv[1])
    print(json.dumps({"event": "loaded", "runs": "matrix products"}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"event": "round", "peaks": peaks(threads)}), flush=True)


if __name__ == "__main__":
    main()
