"""Splits a full graph in two at a shallow layer: the second goes on from the first one's hidden states.

    model.onnx     input_ids, lengths, past_* of the layers up to `shallow`   -> pooled, hidden, present_*
    deeper.onnx    hidden, lengths, past_* of those up to `layer`     -> pooled, token_states, present_*

`hidden` is what layer `shallow` gives for every token, [B, L, hidden]. Nothing is computed in both graphs but
masks and positions, which need no weights. Each has a weights file of its own, so neither holds the other's.
"""

from pathlib import Path
from typing import Final

import msgspec
import onnx
from onnx import GraphProto, ModelProto, helper
from onnx.external_data_helper import load_external_data_for_model

from engine.bundle import DEEPER, MODEL, TOKENIZER, Bundle
from engine.bundle.reference import REFERENCE, SHALLOW_REFERENCE
from engine.device_names import STATES
from engine.devices.device import HIDDEN
from engine.errors import BundleError
from export.adapting.cut import POOLED, keep_outputs, take_layer
from export.building.layout import write_model

_SIDES: Final = ("key", "value")


def split_bundle(full: Bundle, shallow: int, layer: int, folder: Path) -> Bundle:
    """Cut the bundle `full` after block `layer`, in two at `shallow`.

    It is returned as far as it can be read with: it lacks heads, calibration and manifest.

    Raises BundleError: as `split_graph` does.
    """
    split_graph(full.path, shallow, layer, folder)
    (folder / TOKENIZER).write_bytes((full.path / TOKENIZER).read_bytes())
    reference = full.reference.at_layer(layer)
    reference.save(folder / REFERENCE)
    full.reference.at_layer(shallow).save(folder / SHALLOW_REFERENCE)
    manifest = msgspec.structs.replace(
        full.manifest, reading="pooled", layer=layer, labels=(), shallow=shallow
    )
    return Bundle(folder, manifest, "", reference, None, None)


def split_graph(source: Path, shallow: int, layer: int, out: Path) -> None:
    """Write both graphs of `source`'s, which is a full one, into the folder `out`.

    Raises BundleError: the graph has no such layers, or more than one value crosses from one to the next.
    """
    first = onnx.load(source / MODEL, load_external_data=False)
    states = _crossing(first, shallow, layer, source)
    take_layer(first.graph, shallow)
    first.graph.node.append(helper.make_node("Identity", [states], [HIDDEN]))
    first.graph.output.append(_states(first.graph))
    keep_outputs(first.graph, {POOLED, HIDDEN, *_presents(0, shallow)})
    _write(first, source, out, MODEL)
    second = onnx.load(source / MODEL, load_external_data=False)
    take_layer(second.graph, layer)
    _resume(second.graph, states, shallow)
    keep_outputs(second.graph, {POOLED, STATES, *_presents(shallow, layer)})
    below = {f"past_{side}.{i}" for i in range(shallow) for side in _SIDES}
    if below.intersection(value.name for value in second.graph.input):
        raise BundleError(
            f"{source / MODEL} reads the prefix's lower layers in its upper ones: use --no-cascade"
        )
    _write(second, source, out, DEEPER)


def _crossing(model: ModelProto, shallow: int, layer: int, source: Path) -> str:
    """The name of the one value that the layers above `shallow` take from what it computed of the message.

    What it computed depends on the values of its own prefix. Masks and positions do not: they are made again.
    """
    graph = GraphProto()
    graph.CopyFrom(model.graph)
    take_layer(graph, layer)
    lower = GraphProto()
    lower.CopyFrom(model.graph)
    take_layer(lower, shallow)
    keep_outputs(lower, {POOLED, *_presents(0, shallow)})
    keep_outputs(graph, {POOLED, *_presents(0, layer)})
    # Nodes that are in one graph alone are those that take a layer's vector out of it.
    shared = {node.SerializeToString(deterministic=True) for node in graph.node}
    own = {
        name
        for node in lower.node
        if node.SerializeToString(deterministic=True) in shared
        for name in node.output
    }
    told = _told_by(graph, f"past_value.{shallow - 1}")
    taken = {
        name
        for node in graph.node
        if not own.issuperset(node.output)
        for name in node.input
        if name in own and name in told
    }
    if len(taken) != 1:
        raise BundleError(
            f"{source / MODEL}: {len(taken)} values cross from layer {shallow} to the next, one is expected: "
            "use --no-cascade"
        )
    return str(taken.pop())


def _told_by(graph: GraphProto, name: str) -> set[str]:
    """Every value that depends on `name`; nodes stand in the order in which they run."""
    told = {name}
    for node in graph.node:
        if told.intersection(node.input):
            told.update(node.output)
    return told


def _resume(graph: GraphProto, states: str, shallow: int) -> None:
    """Have the graph take `states` as an input, and the prefix's length from the first layer that it has."""
    graph.input.append(_states(graph))
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == states:
                node.input[place] = HIDDEN
            elif node.op_type == "Shape" and _layer_of(name) in range(shallow):
                node.input[place] = f"past_key.{shallow}"


def _layer_of(name: str) -> int | None:
    start, _, number = name.partition(".")
    return int(number) if start in {"past_key", "past_value"} and number.isdigit() else None


def _states(graph: GraphProto) -> onnx.ValueInfoProto:
    """The hidden states as an input or an output, in the precision of the prefix's keys and values."""
    kind = next(value.type.tensor_type.elem_type for value in graph.input if value.name == "past_value.0")
    width = next(value.type.tensor_type.shape for value in graph.output if value.name == POOLED).dim[-1]
    return helper.make_tensor_value_info(HIDDEN, kind, ["batch", "length", width.dim_value or "hidden"])


def _presents(start: int, stop: int) -> list[str]:
    return [f"present_{side}.{i}" for i in range(start, stop) for side in _SIDES]


def _write(model: ModelProto, source: Path, out: Path, name: str) -> None:
    load_external_data_for_model(model, str(source))
    write_model(model, out, name)
    onnx.checker.check_model(out / name)
