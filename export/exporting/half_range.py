"""Finds what half precision cannot hold: it ends at 65,504, and some models' hidden states do not.

Gemma 3 270M's reach 104,000 at the first token of every prompt: on a GPU, each score was not a number. ONNX
Runtime's CPU provider does not show that, because it leaves out casts to fp16 and back. So the ranges are
measured in fp32, on the samples of the bundle's reference behind its prefix. The largest values stand at the
same few tokens of the prompt in every message; `MARGIN` is for messages that go further.
"""

from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from engine.bundle import MODEL, Bundle
from engine.devices.device import Graph, Prefix, prefix_inputs
from engine.reading.reader import load_tokenizer, tokenise_prompt

LARGEST: Final = 65504.0
MARGIN: Final = 2.0
_BLOCKED: Final = -LARGEST / 2  # below this a score is masked: fp16 makes it minus infinity, and softmax 0
# What may stand between a mask, or the scores, and their softmax.
_ON_THE_WAY: Final = {"Add", "Cast", "Concat", "Expand", "Mul", "Reshape", "Slice", "Tile"} | {
    "Trilu",
    "Unsqueeze",
    "Where",
}


def too_large(bundle: Bundle, model: onnx.ModelProto) -> set[str]:
    """The names of the nodes that must compute in fp32.

    These are the nodes that have an output beyond what fp16 holds with a margin, in any sample, and those
    that read such an output. `model` is the bundle's graph with shapes inferred; its weights may be outside.
    """
    largest = _largest(bundle, model)
    beyond = {name for name, value in largest.items() if not value * MARGIN <= LARGEST}
    return {node.name for node in model.graph.node if beyond.intersection([*node.input, *node.output])}


def _largest(bundle: Bundle, model: onnx.ModelProto) -> dict[str, float]:
    """The largest absolute value of every fp32 value between two nodes; of scores, the largest unmasked."""
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    shown = [
        name for node in model.graph.node for name in node.output if kinds.get(name) == onnx.TensorProto.FLOAT
    ]
    masked = _masked(model.graph)
    graph = Graph.of(bundle, "pooled")
    prompt = tokenise_prompt(load_tokenizer(bundle.path), bundle.manifest.prompt)
    found: dict[str, float] = defaultdict(float)
    session = _showing(bundle.path, shown)
    takes = {value.name for value in session.get_inputs()}
    nothing = dict.fromkeys(graph.past, graph.no_past())
    for row in bundle.reference.rows_for(suffix=True):
        inputs = prefix_inputs(Prefix(np.array([*prompt.prefix, *row], np.int64))) | nothing
        values: list[NDArray[np.float32]] = session.run(
            shown, {name: value for name, value in inputs.items() if name in takes}
        )
        for name, value in zip(shown, values, strict=True):
            of = value[value > _BLOCKED] if name in masked else value
            # NaN must count as too large: `max` of Python would skip it.
            found[name] = float(np.max([found[name], np.abs(of).max(initial=0.0)]))
    return found


def _masked(graph: onnx.GraphProto) -> set[str]:
    """The values that end in a softmax alone: scores, to which a mask is added, and the masks themselves."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    found: set[str] = set()
    for node in reversed(graph.node):
        for name in node.output:
            if readers[name] and all(
                reader.op_type == "Softmax" or (reader.op_type in _ON_THE_WAY and reader.output[0] in found)
                for reader in readers[name]
            ):
                found.add(name)
    return found


def _showing(folder: Path, shown: list[str]) -> ort.InferenceSession:
    """The bundle's graph with `shown` as further outputs, computed as it stands: nothing is fused away."""
    shows = onnx.load(folder / MODEL, load_external_data=False)
    there = {value.name for value in shows.graph.output}
    shows.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in shown
        if name not in there
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return ort.InferenceSession(shows.SerializeToString(), options, providers=["CPUExecutionProvider"])
