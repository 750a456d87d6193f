"""Runs any ONNX graph on a CPU device, for models that are no bundle: sentence embeddings, for example.

A bundle's graph is run by `onnxruntime.py` and `openvino.py`, which bind a prefix and prove what runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.device_names import DeviceChoice, PrecisionChoice
from engine.devices.choice import Choice, choose
from engine.devices.cuda_libraries import find_cuda, without
from engine.devices.device import Floats, Ids, translated
from engine.errors import BundleError, DeviceError

try:
    import openvino as ov
except ImportError:  # the gpu extra has no OpenVINO; choice.py then refuses the device
    ov = None
try:
    import onnxruntime as ort
except ImportError:  # neither the cpu nor the gpu extra is installed: choice.py then says which to install
    ort = None


class PlainGraph(Protocol):
    """A compiled graph that takes integers and computes one output."""

    runs: str
    inputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, Ids]) -> Floats:
        """Run one pass with every input of `inputs` and return the output."""


def open_plain(
    model: Path | bytes,
    outputs: Sequence[str],
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
) -> tuple[PlainGraph, str]:
    """Compile the ONNX graph `model` for the first of `outputs` that it has, and return that name as well.

    Raises BundleError: it cannot be read, or has none of `outputs`. DeviceError: this machine cannot run it
    so.
    """
    choice = choose(device, precision)
    if choice.precision == "int8":
        raise DeviceError("a model that is no bundle does not run in int8: set precision=bf16 or fp32")
    opened = (
        _OpenVino(model, choice, threads) if choice.device == "openvino" else _Ort(model, choice, threads)
    )
    found = next((name for name in outputs if name in opened.outputs), None)
    if found is None:
        raise BundleError(
            f"{_shown(model)} computes {', '.join(opened.outputs)[:200]}: it needs {' or '.join(outputs)}"
        )
    opened.cut(found)
    return opened, found


class _OpenVino:
    def __init__(self, model: Path | bytes, choice: Choice, threads: int) -> None:
        self._core = ov.Core()
        try:
            self._model = self._core.read_model(model)
        except Exception as error:  # noqa: BLE001 - the library raises types of its own
            raise BundleError(f"OpenVINO cannot read {_shown(model)}: {_line(error)}") from None
        self._options = {
            "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp16": "f16"}.get(choice.precision, "f32"),
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self.runs = f"openvino {choice.precision}"
        self.inputs = tuple(port.get_any_name() for port in self._model.inputs)
        self.outputs = [name for port in self._model.outputs for name in port.get_names()]

    def cut(self, output: str) -> None:
        self._output = output
        with translated("openvino: compiling the graph"):
            self._request = self._core.compile_model(self._model, "CPU", self._options).create_infer_request()

    def run(self, inputs: Mapping[str, Ids]) -> Floats:
        with translated("openvino: a run"):
            return np.array(self._request.infer(dict(inputs))[self._output], np.float32)


class _Ort:
    def __init__(self, model: Path | bytes, choice: Choice, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        provider = "CUDAExecutionProvider" if choice.device == "cuda" else "CPUExecutionProvider"
        missing = find_cuda(ort) if choice.device == "cuda" else ()
        try:
            self._session = ort.InferenceSession(model, options, providers=[provider])
        except Exception as error:  # noqa: BLE001 - the library raises types of its own
            raise BundleError(f"ONNX Runtime cannot load {_shown(model)}: {_line(error)}") from None
        if self._session.get_providers()[0] != provider:
            raise DeviceError(
                f"device {choice.device} was asked for and is not to be had{without(missing)}: "
                "set device=auto"
            )
        self.runs = f"{choice.device} {choice.precision}"
        self.inputs = tuple(each.name for each in self._session.get_inputs())
        self.outputs = [each.name for each in self._session.get_outputs()]

    def cut(self, output: str) -> None:
        self._output = output

    def run(self, inputs: Mapping[str, Ids]) -> Floats:
        with translated("onnxruntime: a run"):
            found: NDArray[Any] = self._session.run([self._output], dict(inputs))[0]
            return np.asarray(found, np.float32)


def _shown(model: Path | bytes) -> str:
    return str(model) if isinstance(model, Path) else "the graph"


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
