"""Attention over a prefix that is shared by every row of the batch, as a transformers attention.

The prefix's keys and values come in once, `[1, kv_heads, P, head_dim]`, and are broadcast: the scores
over the prefix and over the row's own tokens are computed apart and meet in one softmax. Neither the
prefix (per row) nor the keys (per query head) are ever copied.

What a family adds to that comes in by the arguments of `attend`: a soft cap on the scores, and on some
layers a sliding window. Anything else that transformers passes is refused, not ignored.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import torch
from transformers import AttentionInterface

NAME: Final = "mimamori_broadcast_prefix"

# Finite in fp16 as well, so that casting the graph to a smaller precision keeps the mask a mask;
# exp(x + BLOCKED) is exactly 0 for any score x that attention can reach.
BLOCKED: Final = float(torch.finfo(torch.float16).min)


# What every layer is told and no score depends on: positions are in the keys already, and the rest is
# about what transformers caches and returns.
_HARMLESS: Final = frozenset(
    {"cache_position", "output_attentions", "output_hidden_states", "position_ids", "use_cache"}
)


class UnsupportedAttentionError(ValueError):
    """The attention of a model has a feature that the exported graph would not compute."""


@dataclass
class Prefix:
    """What the layers of one forward pass share.

    `keys` and `values` have one `[1, kv_heads, P, head_dim]` tensor per layer; `length` is L, `groups`
    the query heads per key head, and `context` the most that P + L can be. `own_keys` and `own_values`
    are filled by the pass, `[B, kv_heads, L, head_dim]` per layer, rope applied.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    length: Any  # an int; a traced scalar while the graph is exported
    groups: int
    context: int
    mask: torch.Tensor = field(init=False)
    own_keys: list[torch.Tensor] = field(default_factory=list)
    own_values: list[torch.Tensor] = field(default_factory=list)
    _windows: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the additive mask of `groups` stacked copies of the own tokens: `[groups * L, L]`."""
        own = torch.arange(self.length)
        self.mask = self._stacked(own[None, :] > own[:, None])

    def masks(self, window: int | None) -> tuple[torch.Tensor | None, torch.Tensor]:
        """What to add to the scores over the prefix `[groups * L, P]`, if anything, and `[groups * L, L]`.

        A token sees itself and the `window - 1` tokens before it, or all where that is None.
        """
        # No two tokens are further apart than the context: such a window hides nothing.
        if window is None or window >= self.context:
            return None, self.mask
        if window not in self._windows:
            shared = self.keys[0].shape[2]
            own = torch.arange(self.length)
            ago = own[:, None] - own[None, :]
            over_prefix = shared + own[:, None] - torch.arange(shared)[None, :] >= window
            self._windows[window] = self._stacked(over_prefix), self._stacked((ago < 0) | (ago >= window))
        return self._windows[window]

    def _stacked(self, blocked: torch.Tensor) -> torch.Tensor:
        return (blocked.to(torch.float32) * BLOCKED).repeat(self.groups, 1)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    *,
    prefix: Prefix,
    sliding_window: int | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the prefix and to the own tokens before and at each position.

    `query` is `[B, heads, L, head_dim]`, `key` and `value` `[B, kv_heads, L, head_dim]`; returns
    `[B, L, heads, head_dim]`. Padding is to the right, so causality alone hides it from own tokens.

    Raises UnsupportedAttentionError: transformers asks for more than this computes.
    """
    _refuse(module, {"attention_mask": attention_mask, "dropout": dropout or None, **others})
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # transformers sets it on every attention module
    prefix.own_keys.append(key)
    prefix.own_values.append(value)
    past_key, past_value = prefix.keys[layer], prefix.values[layer]
    # int(): what the model fixes is a constant of the graph; only L and P stay symbolic.
    kv_heads, head_dim = int(key.shape[1]), int(key.shape[3])

    grouped = (query * scaling).reshape(-1, kv_heads, prefix.groups * prefix.length, head_dim)
    over_prefix, over_own = _scores(grouped, past_key, key, softcap, prefix.masks(sliding_window))
    weights = torch.cat((over_prefix, over_own), dim=-1).softmax(dim=-1)
    shared = past_key.shape[2]
    mixed = weights[..., :shared] @ past_value + weights[..., shared:] @ value
    return mixed.reshape(-1, kv_heads * prefix.groups, prefix.length, head_dim).transpose(1, 2), None


def soft_capped(scores: torch.Tensor, cap: float | None) -> torch.Tensor:
    """Scores squeezed into (-cap, cap), where there is a cap."""
    return scores if cap is None else torch.tanh(scores / cap) * cap


def _scores(
    grouped: torch.Tensor,
    past_key: torch.Tensor,
    key: torch.Tensor,
    softcap: float | None,
    masks: tuple[torch.Tensor | None, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of scaled queries `[B, kv_heads, groups * L, head_dim]`, capped and then masked.

    Over the prefix `[B, kv_heads, groups * L, P]`, and over the own tokens `[B, kv_heads, groups * L, L]`.
    """
    prefix_mask, own_mask = masks
    over_prefix = soft_capped(grouped @ past_key.transpose(-1, -2), softcap)
    if prefix_mask is not None:
        over_prefix = over_prefix + prefix_mask
    return over_prefix, soft_capped(grouped @ key.transpose(-1, -2), softcap) + own_mask


def _refuse(module: torch.nn.Module, arguments: dict[str, Any]) -> None:
    asked = sorted(name for name, value in arguments.items() if value is not None and name not in _HARMLESS)
    if not getattr(module, "is_causal", True):
        asked.append("bidirectional attention")
    if asked:
        raise UnsupportedAttentionError(", ".join(asked))


AttentionInterface.register(NAME, attend)
