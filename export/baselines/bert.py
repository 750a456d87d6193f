"""Writes BERT as an ONNX graph from its config.json and model.safetensors, with numpy and onnx alone.

Most sentence embeddings are BERT (MiniLM, BGE, E5, GTE), and many folders have the weights only. The graph is
kept in memory.

Inputs   input_ids, attention_mask [B, L] int64
Outputs  last_hidden_state [B, L, hidden]
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from engine.errors import BundleError
from export.building.tensors import Tensors

Floats = NDArray[np.float32]

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
_MOST_BYTES: Final = 1 << 31  # of a protobuf
_MOST_LAYERS: Final = 100  # the largest has 24


class _Config(msgspec.Struct, frozen=True):
    model_type: str
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: Annotated[int, msgspec.Meta(gt=0)] = 12
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    position_embedding_type: str = "absolute"


def bert_graph(folder: Path) -> bytes:
    """The serialised graph of the model in `folder`.

    Raises BundleError: it is no BERT, or its files are missing or do not fit together.
    """
    config = _config(folder / CONFIG)
    if (folder / WEIGHTS).stat().st_size >= _MOST_BYTES:
        raise BundleError(f"{folder / WEIGHTS} is too large for one graph: put onnx/model.onnx beside it")
    tensors = Tensors(folder / WEIGHTS)
    prefix = next((each for each in ("", "bert.") if f"{each}{_WORDS}" in tensors), None)
    if prefix is None:
        raise BundleError(f"{folder / WEIGHTS} has no {_WORDS}: put onnx/model.onnx beside it")
    try:
        model = parser.parse_model(_text(config))
        weights = _weights(tensors, prefix, config)
        _check(weights, config, folder)
    except KeyError as error:
        raise BundleError(f"{folder / WEIGHTS} has no tensor {error.args[0]}") from None
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    graph: bytes = model.SerializeToString()
    return graph


def _config(path: Path) -> _Config:
    try:
        config = msgspec.json.decode(path.read_bytes(), type=_Config)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}") from None
    built = ("bert", "gelu", "absolute")
    if (config.model_type, config.hidden_act, config.position_embedding_type) != built:
        raise BundleError(
            f"{path} describes {config.model_type[:40]} ({config.hidden_act[:40]}, "
            f"{config.position_embedding_type[:40]} positions), and only bert (gelu, absolute positions) can "
            "be built here: put onnx/model.onnx beside it, as `optimum-cli export onnx` writes it"
        )
    if not 0 < config.num_hidden_layers <= _MOST_LAYERS or config.hidden_size % config.num_attention_heads:
        raise BundleError(f"{path}: its sizes are not those of a BERT")
    return config


_WORDS: Final = "embeddings.word_embeddings.weight"

_BEGIN: Final = """<ir_version: 8, opset_import: ["" : 17]>
bert (int64[B, L] input_ids, int64[B, L] attention_mask) => (float[B, L, H] last_hidden_state)
{{
  i0 = Constant <value = int64[1] {{0}}> ()
  middle = Constant <value = int64[2] {{1, 2}}> ()
  apart = Constant <value = int64[4] {{0, 0, {heads}, {size}}}> ()
  joined = Constant <value = int64[3] {{0, 0, {hidden}}}> ()
  one = Constant <value = float {{1.0}}> ()
  half = Constant <value = float {{0.5}}> ()
  root2 = Constant <value = float {{1.4142135}}> ()
  low = Constant <value = float {{-1e9}}> ()
  scale = Constant <value = float {{{scale}}}> ()
  length = Shape <start = 1, end = 2> (input_ids)
  positions = Slice (position, i0, length, i0)
  word = Gather (embedding, input_ids)
  placed = Add (word, positions)
  typed = Add (placed, kind)
  h0 = LayerNormalization <axis = -1, epsilon = {epsilon}> (typed, norm_w, norm_b)
  seen = Cast <to = 1> (attention_mask)
  unseen = Sub (one, seen)
  far = Mul (unseen, low)
  mask = Unsqueeze (far, middle)
"""
_LAYER: Final = """
  q0_{n} = MatMul (h{n}, q_w{n})
  q1_{n} = Add (q0_{n}, q_b{n})
  q2_{n} = Reshape (q1_{n}, apart)
  q_{n} = Transpose <perm = [0, 2, 1, 3]> (q2_{n})
  k0_{n} = MatMul (h{n}, k_w{n})
  k1_{n} = Add (k0_{n}, k_b{n})
  k2_{n} = Reshape (k1_{n}, apart)
  k_{n} = Transpose <perm = [0, 2, 3, 1]> (k2_{n})
  v0_{n} = MatMul (h{n}, v_w{n})
  v1_{n} = Add (v0_{n}, v_b{n})
  v2_{n} = Reshape (v1_{n}, apart)
  v_{n} = Transpose <perm = [0, 2, 1, 3]> (v2_{n})
  s0_{n} = MatMul (q_{n}, k_{n})
  s1_{n} = Mul (s0_{n}, scale)
  s2_{n} = Add (s1_{n}, mask)
  p_{n} = Softmax <axis = -1> (s2_{n})
  a0_{n} = MatMul (p_{n}, v_{n})
  a1_{n} = Transpose <perm = [0, 2, 1, 3]> (a0_{n})
  a2_{n} = Reshape (a1_{n}, joined)
  a3_{n} = MatMul (a2_{n}, o_w{n})
  a4_{n} = Add (a3_{n}, o_b{n})
  a5_{n} = Add (a4_{n}, h{n})
  a_{n} = LayerNormalization <axis = -1, epsilon = {epsilon}> (a5_{n}, an_w{n}, an_b{n})
  f0_{n} = MatMul (a_{n}, up_w{n})
  f1_{n} = Add (f0_{n}, up_b{n})
  f2_{n} = Div (f1_{n}, root2)
  f3_{n} = Erf (f2_{n})
  f4_{n} = Add (f3_{n}, one)
  f5_{n} = Mul (f1_{n}, f4_{n})
  f6_{n} = Mul (f5_{n}, half)
  f7_{n} = MatMul (f6_{n}, down_w{n})
  f8_{n} = Add (f7_{n}, down_b{n})
  f9_{n} = Add (f8_{n}, a_{n})
  h{next} = LayerNormalization <axis = -1, epsilon = {epsilon}> (f9_{n}, fn_w{n}, fn_b{n})
"""
# What a weight of a layer is called in the graph -> in the file, after encoder.layer.N.
_PARTS: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "an": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "fn": "output.LayerNorm",
}


def _text(config: _Config) -> str:
    size = config.hidden_size // config.num_attention_heads
    epsilon = f"{config.layer_norm_eps:.20f}"
    begin = _BEGIN.format(
        heads=config.num_attention_heads,
        size=size,
        hidden=config.hidden_size,
        scale=f"{size**-0.5:.9f}",
        epsilon=epsilon,
    )
    layers = "".join(_LAYER.format(n=n, next=n + 1, epsilon=epsilon) for n in range(config.num_hidden_layers))
    return f"{begin}{layers}  last_hidden_state = Identity (h{config.num_hidden_layers})\n}}"


def _weights(tensors: Mapping[str, Floats], prefix: str, config: _Config) -> dict[str, Floats]:
    named = {
        "embedding": tensors[f"{prefix}{_WORDS}"],
        "position": tensors[f"{prefix}embeddings.position_embeddings.weight"],
        # Every token of a single text is of the first kind.
        "kind": tensors[f"{prefix}embeddings.token_type_embeddings.weight"][0],
        "norm_w": tensors[f"{prefix}embeddings.LayerNorm.weight"],
        "norm_b": tensors[f"{prefix}embeddings.LayerNorm.bias"],
    }
    for n in range(config.num_hidden_layers):
        for short, part in _PARTS.items():
            name = f"{prefix}encoder.layer.{n}.{part}"
            weight = tensors[f"{name}.weight"]
            named[f"{short}_w{n}"] = np.ascontiguousarray(weight.T)  # a norm's has one dimension
            named[f"{short}_b{n}"] = tensors[f"{name}.bias"]
    return named


def _check(weights: dict[str, Floats], config: _Config, folder: Path) -> None:
    """Raise BundleError where a weight's width is not the config's; the graph would fail at its first run."""
    width = config.hidden_size
    if any(weights[name].shape[-1] != width for name in ("embedding", "position", "kind", "q_w0", "down_w0")):
        raise BundleError(f"{folder / WEIGHTS} has other sizes than {folder / CONFIG} says: copy both again")
