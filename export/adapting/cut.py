"""Cuts a full graph at a layer: removes everything that this layer's pooled vector does not need.

It needs only onnx. It finds the nodes to keep by walking back from the outputs that stay, and it reads and
writes only their weights. It optimises nothing and changes no value.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from onnx import GraphProto, NodeProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from engine.bundle import MODEL, TOKENIZER, WEIGHTS, Bundle
from engine.bundle.reference import REFERENCE
from engine.device_names import STATES
from engine.errors import BundleError
from export.building.layout import write_model

POOLED: Final = "pooled"


def cut_bundle(full: Bundle, layer: int, folder: Path, *, borrowed: bool = False) -> Bundle:
    """Cut the bundle `full` after block `layer`; return it as far as it can be read with.

    It still lacks heads, calibration and manifest. `borrowed` as in `cut_graph`.
    """
    cut_graph(full.path, layer, folder, borrowed=borrowed)
    (folder / TOKENIZER).write_bytes((full.path / TOKENIZER).read_bytes())
    reference = full.reference.at_layer(layer)
    reference.save(folder / REFERENCE)
    manifest = msgspec.structs.replace(full.manifest, reading="pooled", layer=layer, labels=())
    return Bundle(folder, manifest, "", reference, None, None)


def trim(full: Bundle, layer: int, folder: Path) -> Bundle:
    """Copy `full` without what lies above block `layer`: other graphs can be cut from it, and borrow from it.

    It reads the vectors of every layer up to that one.
    """
    cut_graph(full.path, layer, folder, piled=True)
    (folder / TOKENIZER).write_bytes((full.path / TOKENIZER).read_bytes())
    return msgspec.structs.replace(full, path=folder, seen={})


def cut_graph(source: Path, layer: int, out: Path, *, borrowed: bool = False, piled: bool = False) -> None:
    """Cut `source`'s graph after block `layer` (1-based) and write it into the folder `out`.

    The cut graph has the outputs `pooled` float32 [B, hidden] of that layer, `token_states` [B, L, hidden] of
    which `pooled` is each row's mean, and `present_*` of the layers up to it, and only the inputs that these
    need. With `piled`, `pooled` holds the vectors of every layer up to
    it, float32 [B, layer, hidden]. With `borrowed`, the weights are a link to those of `source`, where the
    file system has links: for graphs that run once, of a `source` that nobody else has open. A link changes
    what the system says of a file, and whoever opens a bundle at that moment would take it for altered.

    Raises BundleError: the graph has no such layer, or does not end as exported graphs do.
    """
    model = onnx.load(source / MODEL, load_external_data=False)
    graph = model.graph
    take_layer(graph, layer, piled=piled)
    outputs = {POOLED, *(f"present_{kind}.{i}" for i in range(layer) for kind in ("key", "value"))}
    keep_outputs(graph, outputs | {STATES})
    if borrowed:
        _borrow(source / WEIGHTS, out / WEIGHTS)
        # Not checked: onnx refuses linked weights, since a stranger's graph could point anywhere with them.
        (out / MODEL).write_bytes(model.SerializeToString(deterministic=True))
        return
    load_external_data_for_model(model, str(source))
    write_model(model, out)
    onnx.checker.check_model(out / MODEL)


def _borrow(source: Path, out: Path) -> None:
    try:
        os.link(source, out)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, out)


def take_layer(graph: GraphProto, layer: int, *, piled: bool = False) -> None:
    """Make `pooled` the vector of one layer, or of those up to it, instead of the vectors of all layers.

    Raises BundleError: the graph has no such layer, or does not end as exported graphs do.
    """
    maker: dict[str, NodeProto] = {name: node for node in graph.node for name in node.output}
    pile = maker.get(POOLED)
    while pile is not None and pile.op_type == "Cast":  # a halved bundle casts this output to fp32
        pile = maker.get(pile.input[0])
    shape = next((value.type.tensor_type.shape for value in graph.output if value.name == POOLED), None)
    axis = next((a.i for a in pile.attribute if a.name == "axis"), 0) if pile is not None else 0
    if pile is None or shape is None or len(shape.dim) != 3 or pile.op_type != "Concat" or axis != 1:  # noqa: PLR2004 - [B, layers, hidden]
        raise BundleError(
            f"the graph's {POOLED!r} does not hold the vectors of all layers: only a full export can be cut"
        )
    if not 1 <= layer <= len(pile.input):
        raise BundleError(f"the graph has layers 1 to {len(pile.input)}, not {layer}")
    if piled:
        del pile.input[layer:]
        shape.dim[1].dim_value = layer
        return
    chosen, output = pile.input[layer - 1], pile.output[0]
    place = next(index for index, node in enumerate(graph.node) if node is pile)
    del graph.node[place]
    _show_tokens(graph, maker.get(chosen), shape.dim[2].dim_value)
    axes = numpy_helper.from_array(np.array([1], np.int64), f"{POOLED}_axis")
    graph.initializer.append(axes)
    graph.node.insert(place, helper.make_node("Squeeze", [chosen, axes.name], [output]))
    del shape.dim[1]


def _show_tokens(graph: GraphProto, mean: NodeProto | None, hidden: int) -> None:
    """Make an output of the states that `mean` averages, for highlights.

    A graph that ends otherwise gets none.
    """
    if mean is None or mean.op_type != "MatMul":
        return
    # A halved bundle may store them in fp16.
    graph.node.append(helper.make_node("Cast", [mean.input[1]], [STATES], to=onnx.TensorProto.FLOAT))
    sizes: list[str | int | None] = ["batch", "length", hidden]
    graph.output.append(helper.make_tensor_value_info(STATES, onnx.TensorProto.FLOAT, sizes))


def keep_outputs(graph: GraphProto, outputs: set[str]) -> None:
    """Remove every node, input, output and weight that `outputs` do not need."""
    maker: dict[str, NodeProto] = {name: node for node in graph.node for name in node.output}
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            if name in maker:
                waiting += maker[name].input
    _retain(graph.node, [node for node in graph.node if needed.intersection(node.output)])
    _retain(graph.initializer, [weight for weight in graph.initializer if weight.name in needed])
    _retain(graph.input, [value for value in graph.input if value.name in needed])
    _retain(graph.output, [value for value in graph.output if value.name in outputs])
    del graph.value_info[:]  # shapes of intermediate values, among them those of removed nodes


def _retain(field: Any, kept: Iterable[Any]) -> None:
    """Leave only `kept` in a repeated field, which protobuf cannot filter in place."""
    staying = list(kept)
    del field[:]
    field.extend(staying)
