"""Makes a valid bundle in milliseconds and without torch: a real two-headed transformer of random weights.

It fulfils the graph contract of `export` (broadcast prefix, one softmax over prefix and own tokens, every
layer's pooled vector, label logits, keys and values), so engines, cutting and stations can be tested on
it. Every byte is a token. Its scores mean nothing, because it was never trained.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from engine.bundle import (
    MODEL,
    TOKENIZER,
    WEIGHTS,
    Bundle,
    LabelToken,
    Manifest,
    Prompt,
    Source,
    read_manifest,
    write_manifest,
)
from engine.bundle.reference import REFERENCE, Reference
from engine.load import open_reader
from engine.task import RiskStage, SeverityLevel, SeverityStage, Task

LAYERS, HIDDEN, HEADS, HEAD_DIM, BYTES = 4, 16, 2, 8, 256
MARKER = "<|end|>"  # the only special token, of the kind that chat templates use

TASK = Task(
    name="tiny",
    description="A task for tests",
    languages=("en",),
    instruction="Read the message.",
    message="Message: {message}",
    risk=RiskStage(question="Risk?", clear="no", at_risk="yes"),
    severity=SeverityStage(
        question="How severe?",
        levels=(
            SeverityLevel("low", "a", "little"),
            SeverityLevel("moderate", "b", "some"),
            SeverityLevel("high", "c", "much"),
        ),
    ),
)

_HEAD = """<ir_version: 8, opset_import: ["" : 17]>
tiny (int64[B, L] input_ids, int64[B] lengths, {inputs}) => (float[B, 5] label_logits, {outputs})
{{
  i0 = Constant <value = int64[1] {{0}}> ()
  i1 = Constant <value = int64[1] {{1}}> ()
  i2 = Constant <value = int64[1] {{2}}> ()
  i3 = Constant <value = int64[1] {{3}}> ()
  end = Constant <value = int64[1] {{9223372036854775807}}> ()
  s0 = Constant <value = int64 {{0}}> ()
  s1 = Constant <value = int64 {{1}}> ()
  p0 = Shape <start = 2, end = 3> (past_key_0)
  l0 = Shape <start = 1, end = 2> (input_ids)
  l1 = Squeeze (l0, i0)
  own = Range (s0, l1, s1)
  at = Add (own, p0)
  atf = Cast <to = 1> (at)
  atc = Unsqueeze (atf, i1)
  phase = Mul (atc, frequency)
  wave = Sin (phase)
  word = Gather (embedding, input_ids)
  h0 = Add (word, wave)
  square = Concat <axis = 0> (l0, l0)
  never = ConstantOfShape <value = float[1] {{-1e9}}> (square)
  causal = Trilu (never, s1)
  ends = Unsqueeze (lengths, i1)
  mine = Less (own, ends)
  minef = Cast <to = 1> (mine)
  count = Cast <to = 1> (ends)
  share = Div (minef, count)
  shares = Unsqueeze (share, i1)
  lastn = Sub (ends, i1)
  lastb = Equal (own, lastn)
  lastf = Cast <to = 1> (lastb)
  last = Unsqueeze (lastf, i2)
  split = Constant <value = int64[4] {{0, 0, 2, 8}}> ()
  join = Constant <value = int64[3] {{0, 0, 16}}> ()
"""

_LAYER = """
  qm{i} = MatMul (h{i}, wq{i})
  km{i} = MatMul (h{i}, wk{i})
  vm{i} = MatMul (h{i}, wv{i})
  qr{i} = Reshape (qm{i}, split)
  kr{i} = Reshape (km{i}, split)
  vr{i} = Reshape (vm{i}, split)
  q{i} = Transpose <perm = [0, 2, 1, 3]> (qr{i})
  present_key_{i} = Transpose <perm = [0, 2, 1, 3]> (kr{i})
  present_value_{i} = Transpose <perm = [0, 2, 1, 3]> (vr{i})
  pt{i} = Transpose <perm = [0, 1, 3, 2]> (past_key_{i})
  kt{i} = Transpose <perm = [0, 1, 3, 2]> (present_key_{i})
  sp{i} = MatMul (q{i}, pt{i})
  so{i} = MatMul (q{i}, kt{i})
  sc{i} = Add (so{i}, causal)
  sa{i} = Concat <axis = 3> (sp{i}, sc{i})
  pr{i} = Softmax <axis = -1> (sa{i})
  pp{i} = Slice (pr{i}, i0, p0, i3)
  po{i} = Slice (pr{i}, p0, end, i3)
  ap{i} = MatMul (pp{i}, past_value_{i})
  ao{i} = MatMul (po{i}, present_value_{i})
  aa{i} = Add (ap{i}, ao{i})
  at{i} = Transpose <perm = [0, 2, 1, 3]> (aa{i})
  am{i} = Reshape (at{i}, join)
  ax{i} = MatMul (am{i}, wo{i})
  ha{i} = Add (h{i}, ax{i})
  up{i} = MatMul (ha{i}, wu{i})
  ac{i} = Tanh (up{i})
  dn{i} = MatMul (ac{i}, wd{i})
  h{next} = Add (ha{i}, dn{i})
  layer{i} = MatMul (shares, h{next})
"""

_TAIL = """
  pooled = Concat <axis = 1> ({layers})
  lasts = Mul (h{n}, last)
  lasth = ReduceSum <keepdims = 0> (lasts, i1)
  label_logits = MatMul (lasth, labels)
}}
"""


PROMPT = Prompt(f"Read the message.{MARKER}\n", f"\nRisk?{MARKER}", f"\nHow severe?{MARKER}")


def write_tiny_bundle(path: Path, *, seed: int = 0, prompt: Prompt = PROMPT, task: Task = TASK) -> Bundle:
    """Write a full-depth bundle of the prompted reading, load it and verify its checksums."""
    path.mkdir(parents=True, exist_ok=True)
    onnx.save_model(
        _model(seed), path / MODEL, save_as_external_data=True, location=WEIGHTS, size_threshold=256
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([MARKER])
    tokenizer.save(str(path / TOKENIZER))
    answers = [("risk", "clear", 0), ("risk", "at_risk", 1)]
    answers += [("severity", name, 2 + n) for n, name in enumerate(TASK.level_names)]
    write_manifest(
        path,
        Manifest(
            source=Source("tiny", "0", "llama", LAYERS, HIDDEN, HEADS, HEAD_DIM, 2048),
            task=task,
            prompt=prompt,
            labels=tuple(LabelToken(stage, name, token) for stage, name, token in answers),  # type: ignore[arg-type] # literals above
            reading="prompted",
            precision="fp32",
            opset=17,
            form="joined",
            parity={},
            files={},
        ),
    )
    _write_reference(path)
    return Bundle.load(path)


def _write_reference(path: Path) -> None:
    """Write as reference what the graph itself answers on the plainest device; it has no original model."""
    manifest, _ = read_manifest(path)
    samples = [([1, 2, 3], [4, 5]), ([6], [4, 5]), ([7] * 9, [8])]
    rows = [[*message, *suffix] for message, suffix in samples]
    nothing = Reference.of(samples, np.zeros((3, 5), np.float32), np.zeros((3, LAYERS, HIDDEN), np.float32))
    bundle = Bundle(path, manifest, "", nothing, None, None)
    logits = open_reader(bundle, "label_logits", device="cpu").rows(rows)
    pooled = open_reader(bundle, "pooled", device="cpu").rows([message for message, _ in samples])
    Reference.of(samples, logits, pooled).save(path / REFERENCE)
    write_manifest(path, manifest)


def _model(seed: int) -> onnx.ModelProto:
    keys = [f"{kind}_{i}" for i in range(LAYERS) for kind in ("key", "value")]
    inputs = ", ".join(f"float[1, {HEADS}, P, {HEAD_DIM}] past_{key}" for key in keys)
    outputs = [f"float[B, {LAYERS}, {HIDDEN}] pooled"]
    outputs += [f"float[B, {HEADS}, L, {HEAD_DIM}] present_{key}" for key in keys]
    text = _HEAD.format(inputs=inputs, outputs=", ".join(outputs))
    text += "".join(_LAYER.format(i=i, next=i + 1) for i in range(LAYERS))
    text += _TAIL.format(layers=", ".join(f"layer{i}" for i in range(LAYERS)), n=LAYERS)
    model = parser.parse_model(text)
    _dot_names(model.graph)
    random = np.random.default_rng(seed)
    shapes = {"embedding": (BYTES + 1, HIDDEN), "labels": (HIDDEN, 5)}
    for i in range(LAYERS):
        shapes |= {f"{w}{i}": (HIDDEN, HIDDEN) for w in ("wq", "wk", "wv", "wo")}
        shapes |= {f"wu{i}": (HIDDEN, 2 * HIDDEN), f"wd{i}": (2 * HIDDEN, HIDDEN)}
    arrays: dict[str, NDArray[Any]] = {
        name: random.normal(0, shape[0] ** -0.5, shape) for name, shape in shapes.items()
    }
    arrays["embedding"] = random.normal(0, 1, shapes["embedding"])
    arrays["frequency"] = 0.5 ** np.arange(HIDDEN)
    model.graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in arrays.items()
    )
    onnx.checker.check_model(model)
    return model


def _dot_names(graph: onnx.GraphProto) -> None:
    """Rename past_key_0 to past_key.0 and so on, because the text form of ONNX allows no dots in names."""
    for value in (*graph.input, *graph.output):
        value.name = _dotted(value.name)
    for node in graph.node:
        for names in (node.input, node.output):
            renamed = [_dotted(name) for name in names]
            del names[:]
            names.extend(renamed)


def _dotted(name: str) -> str:
    return re.sub(r"^((?:past|present)_(?:key|value))_(\d+)$", r"\1.\2", name)
