"""Computes the arithmetic that one message needs, from the shapes of the graph. Pure except `shape_of`.

For P prefix tokens (computed once at start, and not counted again) and L tokens of the message itself:

    projections   2 * L * (multiply-adds of every weight matrix of every layer: `weights`)
    attention     2 * 2 * layers * heads * head_dim * (L * P  +  L * (L + 1) / 2)
                  (two products, Q @ K^T and P @ V; causal, so half of the own square)
    label rows    2 * `label_weights`, once

Norms, rope, softmax and the activation are left out. Every token of the message is counted through every
layer, as a generating engine runs it. Ours runs the last block for the last token only where just label
logits are needed, which takes about 3 % less than is counted here.
"""

from dataclasses import dataclass
from pathlib import Path

import onnx

from engine.bundle import MODEL, read_manifest


@dataclass(frozen=True)
class Shape:
    """A decoder's sizes. `weights`: multiply-adds per token in all matrices of all `layers`."""

    layers: int
    weights: int
    heads: int
    head_dim: int
    label_weights: int


def message_flop(shape: Shape, prefix: int, own: int) -> float:
    """Floating-point operations of one message of `own` tokens behind `prefix` cached ones."""
    projections = 2 * own * shape.weights
    pairs = own * prefix + own * (own + 1) / 2
    attention = 4 * shape.layers * shape.heads * shape.head_dim * pairs
    return projections + attention + 2 * shape.label_weights


def mean_flop(shape: Shape, prefix: int, lengths: list[int]) -> float:
    """The mean of `message_flop` over messages of these lengths, which is not the flop of the mean length."""
    return sum(message_flop(shape, prefix, own) for own in lengths) / len(lengths)


def shape_of(bundle: Path) -> Shape:
    """Read the sizes from a bundle's manifest, and the matrices from its graph (a cut graph has fewer)."""
    manifest, _ = read_manifest(bundle)
    source = manifest.source
    graph = onnx.load(bundle / MODEL, load_external_data=False).graph
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    matrices = [
        (node.name, sizes[name])
        for node in graph.node
        if node.op_type in {"MatMul", "Gemm"}
        for name in node.input[1:2]
        if len(sizes.get(name, ())) == 2
    ]
    # What the graph keeps of the LM head has one column per label; no other matrix is that narrow.
    labels = len(manifest.labels)
    is_label = [labels > 0 and labels in size for _, size in matrices]
    weights = sum(a * b for (_, (a, b)), label in zip(matrices, is_label, strict=True) if not label)
    label_weights = sum(a * b for (_, (a, b)), label in zip(matrices, is_label, strict=True) if label)
    # The output projection reads the values of all heads, so it has heads * head_dim rows.
    outputs = [size[0] for name, size in matrices if "o_proj" in name]
    heads = (outputs[0] if outputs else source.hidden_size) // source.head_dim
    return Shape(manifest.layer or source.layers, weights, heads, source.head_dim, label_weights)
