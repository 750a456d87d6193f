"""Attention over a prefix that is shared by every row of the batch, as a transformers attention.

The prefix's keys and values come in once, `[1, kv_heads, P, head_dim]`, and are broadcast: the scores
over the prefix and over the row's own tokens are computed apart and meet in one softmax. Neither the
prefix (per row) nor the keys (per query head) are ever copied.

Not guaranteed: sliding windows, soft caps, sinks or biases on scores. A family that needs them must not
be listed in `export.families`.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import torch
from transformers import AttentionInterface

NAME: Final = "mimamori_broadcast_prefix"

# Finite in fp16 as well, so that casting the graph to a smaller precision keeps the mask a mask;
# exp(x + BLOCKED) is exactly 0 for any score x that attention can reach.
BLOCKED: Final = float(torch.finfo(torch.float16).min)


@dataclass
class Prefix:
    """What the layers of one forward pass share.

    `keys` and `values` have one `[1, kv_heads, P, head_dim]` tensor per layer; `length` is L, and
    `groups` the query heads per key head. `own_keys` and `own_values` are filled by the pass,
    `[B, kv_heads, L, head_dim]` per layer, rope applied.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    length: Any  # an int; a traced scalar while the graph is exported
    groups: int
    mask: torch.Tensor = field(init=False)
    own_keys: list[torch.Tensor] = field(default_factory=list)
    own_values: list[torch.Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the additive mask of `groups` stacked copies of the own tokens: `[groups * L, L]`."""
        own = torch.arange(self.length)
        blocked = own[None, :] > own[:, None]
        self.mask = (blocked.to(torch.float32) * BLOCKED).repeat(self.groups, 1)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    *,
    prefix: Prefix,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the prefix and to the own tokens before and at each position.

    `query` is `[B, heads, L, head_dim]`, `key` and `value` `[B, kv_heads, L, head_dim]`; returns
    `[B, L, heads, head_dim]`. Padding is to the right, so causality alone hides it from own tokens.

    Raises ValueError: transformers brought a mask of its own.
    """
    if attention_mask is not None:
        raise ValueError("the broadcast-prefix attention makes its own mask")
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # transformers sets it on every attention module
    prefix.own_keys.append(key)
    prefix.own_values.append(value)
    past_key, past_value = prefix.keys[layer], prefix.values[layer]
    # int(): what the model fixes is a constant of the graph; only L and P stay symbolic.
    kv_heads, head_dim = int(key.shape[1]), int(key.shape[3])

    grouped = (query * scaling).reshape(-1, kv_heads, prefix.groups * prefix.length, head_dim)
    over_prefix = grouped @ past_key.transpose(-1, -2)
    over_own = grouped @ key.transpose(-1, -2) + prefix.mask
    weights = torch.cat((over_prefix, over_own), dim=-1).softmax(dim=-1)
    shared = past_key.shape[2]
    mixed = weights[..., :shared] @ past_value + weights[..., shared:] @ value
    return mixed.reshape(-1, kv_heads * prefix.groups, prefix.length, head_dim).transpose(1, 2), None


AttentionInterface.register(NAME, attend)
