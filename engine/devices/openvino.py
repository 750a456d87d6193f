"""OpenVINO as a device: it runs the same ONNX file in bf16 or int8 on CPUs that support them.

The graph is cut to the one output that is asked for, so that nothing else is computed. A second, short-lived
compilation of the same file computes the keys and values of the prefixes. Each prefix has an infer request of
its own, with its keys and values as tensors; all requests run the one compiled graph.
"""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.bundle import weights_of
from engine.device_names import STATES, Precision
from engine.devices.bf16_weights import Bf16Weights
from engine.devices.device import (
    CPU_RUN_COST,
    HIDDEN,
    Floats,
    Graph,
    Ids,
    Prefix,
    States,
    prefix_inputs,
    translated,
)
from engine.devices.memory import release_pages
from engine.devices.quantise import GROUP, quantise
from engine.errors import BundleError, DeviceError

try:
    import openvino as ov
except ImportError:  # the gpu extra has no OpenVINO; choice.py then refuses the device
    ov = None

# The precision of everything but the products with weights. In int8 only those products run in int8, and the
# rest runs in bf16.
_HINTS: Final[dict[Precision, str]] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "bf16"}
_PRECISIONS: Final[dict[str, Precision]] = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
_GROUP_SIZE: Final = "DYNAMIC_QUANTIZATION_GROUP_SIZE"


def precisions() -> list[Precision]:
    """The precisions that OpenVINO can run on this CPU; none where it is not installed."""
    if ov is None:
        return []
    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [p for p in _HINTS if p.upper() in able and (p != "int8" or "BF16" in able)]


class Compiled(NamedTuple):
    """A compiled graph, which all devices on it share, so that its weights are in memory once.

    `stored` is the file that its weights lie in, and `weights` the bundle's, whose pages can be dropped.
    """

    model: Any
    graph: Graph
    precision: Precision
    threads: int
    weights: Path
    stored: Bf16Weights | None


def open_graph(
    graph: Graph, prefixes: Sequence[Prefix], *, precision: Precision, threads: int
) -> list["OpenVinoDevice"]:
    """Compile the graph once and run each prefix once. Return a device for each prefix.

    Raises BundleError: the graph is not what its manifest says. DeviceError: another device or precision
    would run it.
    """
    weights = graph.model.with_name(weights_of(graph.model.name))
    core = ov.Core()
    try:
        model = core.read_model(graph.model)
    except RuntimeError as error:
        raise BundleError(f"OpenVINO cannot read {graph.model}: {str(error).splitlines()[0]}") from None
    graph.verify(_names(model.inputs), _names(model.outputs))
    if precision == "int8":
        quantise(model)
    stored = Bf16Weights.of(model) if _HINTS[precision] == "bf16" else None
    if stored is not None:
        release_pages(weights)  # all of it was just read, and little will be again
    wanted = [*graph.present, HIDDEN] if graph.gives else graph.present
    left: list[list[Floats]] = [[] for _ in prefixes]
    if any(prefix.tokens.size for prefix in prefixes):
        with translated("openvino: running the prefix"):
            left = _of_prefixes(_compile(core, model, wanted, precision, threads), graph, prefixes, wanted)
    with translated("openvino: compiling the graph"):
        compiled = _compile(core, model, graph.wanted(_names(model.outputs)), precision, threads)
    shared = Compiled(compiled, graph, _read_back(compiled, precision), threads, weights, stored)
    return [OpenVinoDevice(shared, each) for each in left]


class OpenVinoDevice:
    """One infer request of a compiled graph, with a prefix's keys and values set as its tensors."""

    name: Final = "openvino"
    run_cost: Final = CPU_RUN_COST

    def __init__(self, shared: Compiled, of_prefix: Sequence[Floats]) -> None:
        """`of_prefix` is what a run of the prefix left: see `_of_prefixes`. `open_graph` calls this."""
        graph = shared.graph
        past = list(of_prefix) or [graph.no_past()] * len(graph.past)
        self.prefix_states: States | None = past.pop() if graph.gives and of_prefix else None
        self.threads = shared.threads
        self.precision: Precision = shared.precision
        self.keeps_tokens = STATES in _names(shared.model.outputs)
        self._shared = shared
        self._request = shared.model.create_infer_request()
        # Tensors share the arrays' memory without owning it, so the arrays must live as long as the request.
        self._past = past
        self._outputs = graph.outputs
        self._takes = _names(shared.model.inputs)
        for name, value in zip(graph.past, past, strict=True):
            if name in self._takes:
                self._request.set_tensor(name, ov.Tensor(value, shared_memory=bool(value.size)))

    def run(self, input_ids: Ids, lengths: Ids) -> Floats:
        """See Device.run."""
        return self._infer({"input_ids": input_ids, "lengths": lengths})[0]

    def begin(self, input_ids: Ids, lengths: Ids) -> tuple[Floats, States]:
        """See Part.begin."""
        output, states = self._infer({"input_ids": input_ids, "lengths": lengths})
        return output, states

    def resume(self, states: States, input_ids: Ids, lengths: Ids) -> Floats:
        """See Part.resume."""
        return self._infer({HIDDEN: states, "input_ids": input_ids, "lengths": lengths})[0]

    def _infer(self, inputs: dict[str, NDArray[Any]]) -> list[Floats]:
        with translated(f"openvino: a run of {inputs['input_ids'].shape} tokens"):
            for name in self._takes.intersection(inputs):
                self._request.set_tensor(name, ov.Tensor(inputs[name], shared_memory=True))
            self._request.infer(share_outputs=True)
            return [np.array(self._request.get_tensor(name).data, np.float32) for name in self._outputs]

    def tokens(self, rows: Sequence[int]) -> Floats:
        """See Device.tokens."""
        with translated("openvino: the states of single tokens"):
            return np.array(self._request.get_tensor(STATES).data[list(rows)], np.float32)

    def settle(self) -> None:
        """See Device.settle."""
        release_pages(self._shared.weights)
        if self._shared.stored is not None:
            self._shared.stored.release()


def _compile(core: Any, model: Any, outputs: list[str], precision: Precision, threads: int) -> Any:
    """Compile the part of `model` that computes `outputs`."""
    results = [model.output(name).get_node() for name in outputs]
    wanted = _reachable(results)
    parameters = [node for node in model.get_parameters() if node.get_friendly_name() in wanted]
    return core.compile_model(
        ov.Model(results, parameters, "part"),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # With pinning, two workers on one machine would run their threads on the same cores.
            "ENABLE_CPU_PINNING": False,
            # By default, OpenVINO quantises activations wherever weights are int8.
            _GROUP_SIZE: GROUP if precision == "int8" else 0,
        },
    )


def _reachable(results: list[Any]) -> set[str]:
    """The friendly names (unique within a model) of every node that `results` depend on."""
    seen: set[str] = set()
    waiting = list(results)
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() not in seen:
            seen.add(node.get_friendly_name())
            waiting += [source.get_source_output().get_node() for source in node.inputs()]
    return seen


def _of_prefixes(
    compiled: Any, graph: Graph, prefixes: Sequence[Prefix], wanted: list[str]
) -> list[list[Floats]]:
    """Run each prefix alone and return copies of what is `wanted` of it: keys, values, hidden states.

    Nothing of a prefix that is empty.
    """
    bound = _names(compiled.inputs)
    nothing = {name: graph.no_past() for name in graph.past}
    request = compiled.create_infer_request()
    copies: list[list[Floats]] = []
    for prefix in prefixes:
        inputs = prefix_inputs(prefix) | nothing
        given = {name: value for name, value in inputs.items() if name in bound}
        outputs = request.infer(given) if prefix.tokens.size else {}
        copies.append([np.array(outputs[name], np.float32) for name in wanted if outputs])
        del outputs
    # Free this compilation's packed weights at once, because they are as large as the model.
    del request, compiled
    gc.collect()
    return copies


def _read_back(compiled: Any, precision: Precision) -> Precision:
    devices = compiled.get_property("EXECUTION_DEVICES")
    # Ask for OpenVINO's own type name, because bf16 converted to a numpy type is called float16.
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    actual = _PRECISIONS.get(hint, "fp32")  # "dynamic" means the precision of the file
    if actual == "bf16" and _multiplies_int8(compiled):
        actual = "int8"
    if actual != precision or devices != ["CPU"]:
        raise DeviceError(
            f"openvino {precision} was asked for, {', '.join(devices)} would run {actual}: "
            f"set precision={actual}, or device=cpu"
        )
    return actual


def _multiplies_int8(compiled: Any) -> bool:
    """Whether all products with quantised weights run in int8, including their activations."""
    kinds = {
        info["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ops()
        if (info := node.get_rt_info())["layerType"].astype(str) == "FullyConnected"
    }
    return "i8" in kinds and compiled.get_property(_GROUP_SIZE) == GROUP


def _names(ports: list[Any]) -> set[str]:
    return {name for port in ports for name in port.get_names()}
