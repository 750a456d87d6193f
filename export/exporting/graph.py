"""Exports the transformers model as one ONNX graph with both readings.

Inputs   input_ids [B, L] int64, right-padded; lengths [B] int64 (own tokens, >= 1);
         past_key.{i}, past_value.{i} [1, kv_heads, P, head_dim] for each layer, P >= 0
Outputs  label_logits [B, labels]; pooled [B, layers, hidden];
         present_key.{i}, present_value.{i} [B, kv_heads, L, head_dim]

Positions are P + arange(L). Everything is float32. The same model, labels and library versions give the same
bytes; other versions of torch may not.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import onnx
import torch
from transformers import PreTrainedModel

from export.exporting.attention import NAME, Prefix, soft_capped
from export.exporting.forms import Form
from export.exporting.shapes import Shapes

OPSET: Final = 17


class BroadcastPrefixGraph(torch.nn.Module):
    """The module that is exported: the model without its vocabulary, with the inputs and outputs above."""

    model: Any  # a PreTrainedModel, whose own annotations are incomplete

    def __init__(self, model: PreTrainedModel, shapes: Shapes, label_ids: list[int], form: Form) -> None:
        super().__init__()
        self.model = model
        self._form: Form = form
        self._groups = shapes.heads // shapes.kv_heads
        self._context = shapes.context
        self._norm = self.model.get_decoder().norm
        self._blocks = blocks_of(model)
        self._softcap = getattr(model.config, "final_logit_softcapping", None)
        head = self.model.get_output_embeddings()
        self.label_weight = torch.nn.Parameter(head.weight[label_ids].detach().clone(), requires_grad=False)

    def forward(
        self, input_ids: torch.Tensor, lengths: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Run one pass; `past` alternates key and value, layer by layer."""
        batch, length = input_ids.shape
        own = torch.arange(length)
        prefix = Prefix(list(past[0::2]), list(past[1::2]), length, self._groups, self._context, self._form)
        with HiddenStates(self._blocks) as hidden, LastCall(self._blocks[-1]) as call:
            self.model.get_decoder()(
                input_ids=input_ids,
                position_ids=(past[0].shape[2] + own)[None, :],
                use_cache=False,
                prefix=prefix,
            )
        # The last block runs once more, for each row's last token alone. A reading that needs only the logits
        # skips the other tokens there, which saves a thirtieth of the work in a network of thirty blocks.
        last = call.again(torch.arange(batch), lengths, prefix)
        label_logits = soft_capped(self._norm(last) @ self.label_weight.T, self._softcap)
        mean = (own[None, :] < lengths[:, None]).to(torch.float32) / lengths[:, None].to(torch.float32)
        pooled = torch.cat([mean[:, None, :] @ states for states in hidden], dim=1)
        presents = [each for pair in zip(prefix.own_keys, prefix.own_values, strict=True) for each in pair]
        return (label_logits, pooled, *presents)


class HiddenStates:
    """Collects the hidden state after each block of a forward pass, `[B, L, hidden]` per block.

    `output_hidden_states` does not serve, because transformers applies the final norm to the last of them.
    """

    def __init__(self, blocks: torch.nn.ModuleList) -> None:
        self._blocks = blocks

    def __enter__(self) -> list[torch.Tensor]:
        states: list[torch.Tensor] = []

        def keep(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            states.append(output[0] if isinstance(output, tuple) else output)

        self._hooks = [block.register_forward_hook(keep) for block in self._blocks]
        return states

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


class LastCall:
    """Remembers how a block was called, and can call it again for each row's last token."""

    def __init__(self, block: torch.nn.Module) -> None:
        self._block: Any = block

    def __enter__(self) -> Self:
        def note(_module: torch.nn.Module, inputs: tuple[Any, ...], arguments: dict[str, Any]) -> None:
            self._states = inputs[0] if inputs else arguments["hidden_states"]
            self._arguments = {name: each for name, each in arguments.items() if name != "hidden_states"}
            self._others = inputs[1:]

        self._hook = self._block.register_forward_pre_hook(note, with_kwargs=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def again(self, rows: torch.Tensor, lengths: torch.Tensor, prefix: Prefix) -> torch.Tensor:
        """The block's output `[B, hidden]` at each row's last token; `rows` is arange(B)."""
        last = lengths - 1
        at = partial(_at, last=last)
        arguments = {name: at(each) for name, each in self._arguments.items()}
        arguments["prefix"] = prefix.at_last(lengths)
        output = self._block(self._states[rows, last][:, None], *map(at, self._others), **arguments)
        states: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return states[:, 0]


def _at(argument: Any, *, last: torch.Tensor) -> Any:
    """Reduce a block's argument to each row's last token, as in rotary tables and positions [1, L, …]."""
    if isinstance(argument, tuple):
        return tuple(_at(each, last=last) for each in argument)
    return (
        argument[0][last][:, None] if isinstance(argument, torch.Tensor) and argument.ndim > 1 else argument
    )


@contextmanager
def shrunk(model: PreTrainedModel, shapes: Shapes, layers: int, words: int) -> Iterator[Shapes]:
    """Inside the block, the model has only its lowest layers and first words; yields its shapes then."""
    decoder: Any = model.get_decoder()
    words_of = decoder.embed_tokens
    blocks, weight, padding = decoder.layers, words_of.weight, words_of.padding_idx
    decoder.layers = blocks[:layers]
    # A tied head keeps the whole embedding: label tokens may be any words.
    words_of.weight = torch.nn.Parameter(weight[:words].detach(), requires_grad=False)
    words_of.padding_idx = None  # it may be beyond those words
    try:
        yield replace(shapes, layers=len(decoder.layers))
    finally:
        decoder.layers, words_of.weight, words_of.padding_idx = blocks, weight, padding


def trace(
    model: PreTrainedModel, shapes: Shapes, label_ids: list[int], form: Form = "joined"
) -> onnx.ModelProto:
    """Trace the model with small dummy inputs; return the graph with its weights inside.

    Raises UnsupportedAttentionError: the model's attention has a feature that the graph would not compute.
    """
    sides = [f"{kind}.{i}" for i in range(shapes.layers) for kind in ("key", "value")]
    pasts, presents = [f"past_{side}" for side in sides], [f"present_{side}" for side in sides]
    past = [torch.zeros(1, shapes.kv_heads, 4, shapes.head_dim) for _ in sides]
    implementation = model.config._attn_implementation  # noqa: SLF001 - the only place it is kept
    model.set_attn_implementation(NAME)
    try:
        return trace_module(
            BroadcastPrefixGraph(model, shapes, label_ids, form),
            past,
            pasts,
            ["label_logits", "pooled", *presents],
            {
                "label_logits": {0: "batch"},
                "pooled": {0: "batch"},
                **{name: {2: "prefix"} for name in pasts},
                **{name: {0: "batch", 2: "length"} for name in presents},
            },
        )
    finally:
        model.set_attn_implementation(implementation)


def trace_module(
    module: torch.nn.Module,
    past: list[torch.Tensor],
    pasts: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> onnx.ModelProto:
    """Trace a module of input_ids, lengths and `past`, whose names are `pasts`.

    `axes` are the dynamic axes of everything but the former two.
    """
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        # The tracer warns about each shape that it takes for a constant, and that it is deprecated. The
        # parity check runs other shapes than these, and would find one that was wrongly frozen.
        warnings.simplefilter("ignore")
        # Export into a file, because above 2 GB the exporter writes the weights beside it.
        path = Path(folder) / "traced.onnx"
        torch.onnx.export(
            module,
            (torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 2]), *past),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_ids", "lengths", *pasts],
            output_names=outputs,
            dynamic_axes={"input_ids": {0: "batch", 1: "length"}, "lengths": {0: "batch"}, **axes},
        )
        return onnx.load(path)


def blocks_of(model: PreTrainedModel) -> torch.nn.ModuleList:
    """The layers of a decoder, in order."""
    decoder: Any = model.get_decoder()
    blocks: torch.nn.ModuleList = decoder.layers
    return blocks
