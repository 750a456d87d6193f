"""Quantises the feed-forward weights of an OpenVINO model to int8, in memory. The bundle does not change.

    w [features, outputs]  ~  q * scale        q = round(w / scale) int8,  scale = max |w| / 127 per output

OpenVINO then also quantises the activations that are multiplied with these weights. Each group of a token's
features has its own scale, so a message's scores do not depend on its neighbours. Everything else keeps its
precision: if the projections of the attention were quantised too, the answers after a long prompt would be
off by more than the proof tolerates (`bench/quantised.py`).
"""

from typing import Any, Final

import numpy as np

try:
    from openvino import opset13 as ops
except ImportError:  # see openvino.py
    ops = None

GROUP: Final = 64  # features that share one scale of the activations
FEED_FORWARD: Final = "/mlp/"  # as every family of transformers names it, and so the graph's nodes


def quantise(model: Any, where: str = FEED_FORWARD, group: int = GROUP) -> int:
    """Quantise the weight matrices of MatMuls whose name contains `where`; return how many there were.

    A matrix whose number of features is not a multiple of `group` stays as it is.
    """
    done: dict[str, Any] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or where not in node.get_friendly_name():
            continue
        weight = node.input_value(1).get_node()
        name = weight.get_friendly_name()
        if name not in done and _divides(node, weight, group):
            done[name] = _in_int8(weight.data)
        if name in done:
            node.input(1).replace_source_output(done[name].output(0))
    return len(done)


def _divides(node: Any, weight: Any, group: int) -> bool:
    if weight.get_type_name() != "Constant" or node.get_attributes()["transpose_b"]:
        return False
    shape = weight.get_output_shape(0)
    return len(shape) == 2 and shape[0] % group == 0  # noqa: PLR2004 - a matrix


def _in_int8(weight: Any) -> Any:
    scale = np.abs(weight).max(axis=0, keepdims=True).astype(np.float32) / 127
    scale[scale == 0] = 1
    rounded = ops.constant(np.rint(weight / scale).astype(np.int8))
    return ops.multiply(ops.convert(rounded, "f32"), ops.constant(scale))
