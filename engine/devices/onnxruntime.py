"""ONNX Runtime as a device: its CPU provider on any machine, its CUDA provider on a GPU.

The CUDA path keeps the prefix and all intermediate values on the GPU and caps the arena. It runs in the
precision that the graph stores: fp32 with TF32 switched off, or fp16, where keys and values are fp16 as well.

ONNX Runtime also computes outputs that nobody fetches (its inference builds ignore
`only_execute_path_to_fetches`, seen with 1.31). In these graphs that is one sum per layer, and for label
logits the last block for all tokens.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.device_names import STATES, DeviceName, Precision
from engine.devices.cuda_libraries import find_cuda, without
from engine.devices.device import (
    CPU_RUN_COST,
    GPU_RUN_COST,
    HIDDEN,
    Floats,
    Graph,
    Ids,
    Prefix,
    States,
    prefix_inputs,
    translated,
)
from engine.errors import BundleError, DeviceError

try:
    import onnxruntime as ort
except ImportError:  # neither the cpu nor the gpu extra is installed: choice.py then says which to install
    ort = None

_PROVIDERS: Final[dict[DeviceName, str]] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def devices() -> list[DeviceName]:
    """The devices that the installed ONNX Runtime supports; none where it is not installed."""
    built_for = ort.get_available_providers() if ort else []
    return [name for name, provider in _PROVIDERS.items() if provider in built_for]


def open_graph(
    graph: Graph, prefixes: Sequence[Prefix], *, device: DeviceName, threads: int, arena_bytes: int | None
) -> list["OnnxRuntimeDevice"]:
    """Load the graph once and run each prefix once. Return a device for each prefix; they share the session.

    Raises BundleError: the graph is not what its manifest says. DeviceError: another device would run it.
    """
    session = _open(graph, device, threads, arena_bytes)
    graph.verify(
        (value.name for value in session.get_inputs()),
        (value.name for value in session.get_outputs()),
    )
    return [OnnxRuntimeDevice(session, graph, prefix, device, threads) for prefix in prefixes]


class OnnxRuntimeDevice:
    """A binding of a session: a prefix's keys and values are OrtValues in the device's own memory."""

    run_cost: int

    def __init__(self, session: Any, graph: Graph, prefix: Prefix, device: DeviceName, threads: int) -> None:
        """Run the prefix once. `open_graph` calls this."""
        self.name: DeviceName = device
        self.threads = threads if device == "cpu" else 0
        self.run_cost = CPU_RUN_COST if device == "cpu" else GPU_RUN_COST
        self._session = session
        self.precision: Precision = _stored(self._session, graph)
        self._outputs = graph.wanted([value.name for value in self._session.get_outputs()])
        self.keeps_tokens = STATES in self._outputs
        self._takes = {value.name for value in self._session.get_inputs()}
        self._binding = self._session.io_binding()
        self.prefix_states: States | None = None
        with translated(f"{device}: running the prefix"):
            self._bind_prefix(graph, prefix)

    def run(self, input_ids: Ids, lengths: Ids) -> Floats:
        """See Device.run."""
        output: Floats = self._infer({"input_ids": input_ids, "lengths": lengths})[0]
        return output

    def begin(self, input_ids: Ids, lengths: Ids) -> tuple[Floats, States]:
        """See Part.begin."""
        output, states = self._infer({"input_ids": input_ids, "lengths": lengths})
        return output, states

    def resume(self, states: States, input_ids: Ids, lengths: Ids) -> Floats:
        """See Part.resume."""
        output: Floats = self._infer({HIDDEN: states, "input_ids": input_ids, "lengths": lengths})[0]
        return output

    def _infer(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with translated(f"{self.name}: a run of {inputs['input_ids'].shape} tokens"):
            for name in self._takes.intersection(inputs):
                self._binding.bind_cpu_input(name, inputs[name])
            # The outputs are bound again for each run, because their shapes change with the batch and a
            # binding keeps the memory that it got.
            self._binding.clear_binding_outputs()
            for name in self._outputs:
                # The states of single tokens stay where they are, until somebody asks for them.
                self._binding.bind_output(name, self.name if name == STATES else "cpu")
            self._session.run_with_iobinding(self._binding)
            read = zip(self._outputs, self._binding.get_outputs(), strict=True)
            return [value.numpy() for name, value in read if name != STATES]

    def tokens(self, rows: Sequence[int]) -> Floats:
        """See Device.tokens."""
        with translated(f"{self.name}: the states of single tokens"):
            states: Floats = self._binding.get_outputs()[self._outputs.index(STATES)].numpy()
        return states[list(rows)]

    def settle(self) -> None:
        """See Device.settle.

        There is nothing to free: ONNX Runtime maps no file, and packs weights at load.
        """

    def _bind_prefix(self, graph: Graph, prefix: Prefix) -> None:
        nothing: NDArray[Any] = graph.no_past().astype(_KINDS[self.precision])
        past = [ort.OrtValue.ortvalue_from_numpy(nothing, self.name)] * len(graph.past)
        if prefix.tokens.size:
            first = self._session.io_binding()
            inputs = prefix_inputs(prefix)
            for name in self._takes.intersection(inputs):
                first.bind_cpu_input(name, inputs[name])
            for name, value in zip(graph.past, past, strict=True):
                first.bind_ortvalue_input(name, value)
            for name in graph.present:
                first.bind_output(name, self.name)
            if graph.gives:
                first.bind_output(HIDDEN, "cpu")
            self._session.run_with_iobinding(first, _shrinking(self.name))
            past = first.get_outputs()
            if graph.gives:
                self.prefix_states = past.pop().numpy()
        self._past = past  # the binding holds no reference of its own
        for name, value in zip(graph.past, past, strict=True):
            self._binding.bind_ortvalue_input(name, value)


def _open(graph: Graph, device: DeviceName, threads: int, arena_bytes: int | None) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Memory patterns are kept per shape, and batches have hundreds: the arena grew twice as fast.
    options.enable_mem_pattern = False
    # Spinning threads would take CPU time from the other stations between two batches.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    provider: Any = _PROVIDERS[device]
    missing = find_cuda(ort) if device == "cuda" else ()
    if device == "cuda":
        # The arena grows by powers of two, as is the default: asked for exactly what each new shape needs, it
        # went on growing after 60 batches of changing shapes, and once filled one (docs/benchmarks/gpu.md).
        settings = {"use_tf32": "0"}
        if arena_bytes is not None:
            settings["gpu_mem_limit"] = str(arena_bytes)
        provider = (provider, settings)
    try:
        session = ort.InferenceSession(graph.model, options, providers=[provider])
    except Exception as error:  # noqa: BLE001 - the library raises types of its own
        raise BundleError(f"ONNX Runtime cannot load {graph.model} on {device}: {_line(error)}") from None
    session.disable_fallback()
    if session.get_providers()[0] != _PROVIDERS[device]:
        raise DeviceError(
            f"device {device} was asked for, ONNX Runtime took {session.get_providers()[0]}: check the GPU "
            f"driver and the CUDA and cuDNN libraries{without(missing)}, or set device=auto"
        )
    return session


def _stored(session: Any, graph: Graph) -> Precision:
    """The precision of the keys and values that the graph takes; fp32 for a graph without any."""
    kinds = {value.type for value in session.get_inputs() if value.name in graph.past}
    return "fp16" if kinds == {"tensor(float16)"} else "fp32"


def _shrinking(device: DeviceName) -> Any:
    """Options that shrink the arena after the prefix, which is longer than any row that follows."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", f"{_ARENA[device]}:0")
    return options


_KINDS: Final[dict[Precision, type]] = {"fp32": np.float32, "fp16": np.float16}
_ARENA: Final[dict[DeviceName, str]] = {"cpu": "cpu", "cuda": "gpu"}


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
