"""Attention over a prefix that all rows of a batch share, registered as an attention of transformers.

The prefix's keys and values come in once, `[1, kv_heads, P, head_dim]`, and are broadcast: neither the prefix
(per row) nor the keys (per query head) are ever copied. The graph's form (`export.exporting.forms`) decides
how the scores over the prefix and over the row's own tokens become one softmax.

What a family adds to that arrives in the arguments of `attend`: a soft cap on the scores, and on some layers
a sliding window. Anything else that transformers passes is refused, not ignored.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import torch
from transformers import AttentionInterface

from export.exporting.forms import BLOCKED, Form, Part, joined, merged

NAME: Final = "mimamori_broadcast_prefix"

# Arguments that every layer gets and that change no score: the keys already contain the positions, and the
# others are about what transformers caches and returns.
_HARMLESS: Final = frozenset(
    {"cache_position", "output_attentions", "output_hidden_states", "position_ids", "use_cache"}
)


class UnsupportedAttentionError(ValueError):
    """The attention of a model has a feature that the exported graph would not compute."""


@dataclass
class Prefix:
    """The values that the layers of one forward pass share.

    `keys` and `values` have one `[1, kv_heads, P, head_dim]` tensor per layer; `length` is L, `groups` the
    number of query heads per key head, and `context` the most that P + L can be. Queries are all own tokens,
    or only the one at `last` [B] of each row. The pass fills `own_keys` and `own_values`,
    `[B, kv_heads, L, head_dim]` per layer, with rope applied.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    length: Any  # an int; a traced scalar while the graph is exported
    groups: int
    context: int
    form: Form = "joined"
    last: torch.Tensor | None = None
    own_keys: list[torch.Tensor] = field(default_factory=list)
    own_values: list[torch.Tensor] = field(default_factory=list)
    _places: torch.Tensor = field(init=False)  # the queries' positions among the own tokens: [L], or [B, 1]
    masked: dict[int | None, tuple[torch.Tensor | None, torch.Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note the queries' positions."""
        self._places = torch.arange(self.length) if self.last is None else self.last[:, None]

    def at_last(self, lengths: torch.Tensor) -> Self:
        """The same pass with each row's last token as the only query. It reuses the own keys and values."""
        return replace(self, last=lengths - 1, masked={})

    @property
    def queries(self) -> Any:
        """The number of queries in a row: L, or 1."""
        return self._places.shape[-1]

    def own(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store a layer's keys and values of the own tokens; a second pass gets those of the first."""
        if layer == len(self.own_keys):
            self.own_keys.append(key)
            self.own_values.append(value)
        return self.own_keys[layer], self.own_values[layer]

    def masks(self, window: int | None) -> tuple[torch.Tensor | None, torch.Tensor]:
        """What to add to the scores over the prefix, if anything, and to those over the own tokens.

        `[groups * L, P]` and `[groups * L, L]`; for each row's last token `[B, 1, 1, …]`. A token sees itself
        and the `window - 1` tokens before it, or all tokens before it where `window` is None.
        """
        # No two tokens are further apart than the context, so a window of that size hides nothing.
        if window is not None and window >= self.context:
            window = None
        if window not in self.masked:
            ago = self._places[..., None] - torch.arange(self.length)
            if window is None:
                self.masked[window] = None, self._stacked(ago < 0)
            else:
                shared = self.keys[0].shape[2]
                over_prefix = shared + self._places[..., None] - torch.arange(shared) >= window
                self.masked[window] = (
                    self._stacked(over_prefix),
                    self._stacked((ago < 0) | (ago >= window)),
                )
        return self.masked[window]

    def _stacked(self, blocked: torch.Tensor) -> torch.Tensor:
        added = blocked.to(torch.float32) * BLOCKED
        return added[:, None] if added.ndim == 3 else added.repeat(self.groups, 1)  # noqa: PLR2004 - [B, 1, …]


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
    """Attend to the prefix and to the own tokens up to each position.

    `query` is `[B, heads, L, head_dim]`, `key` and `value` `[B, kv_heads, L, head_dim]`; returns
    `[B, L, heads, head_dim]`. Padding is on the right, so causality alone hides it from the own tokens.

    Raises UnsupportedAttentionError: transformers asks for more than this computes.
    """
    _refuse(module, {"attention_mask": attention_mask, "dropout": dropout or None, **others})
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # transformers sets it on every attention module
    key, value = prefix.own(layer, key, value)
    # int() turns sizes that the model fixes into constants of the graph; only L and P stay symbolic.
    kv_heads, head_dim = int(key.shape[1]), int(key.shape[3])
    grouped = (query * scaling).reshape(-1, kv_heads, prefix.groups * prefix.queries, head_dim)
    prefix_mask, own_mask = prefix.masks(sliding_window)
    over = Part(prefix.keys[layer], prefix.values[layer], prefix_mask)
    own = Part(key, value, own_mask)
    # Merging measures scores against the prefix's first key, which a window may hide.
    mix = merged if prefix.form == "merged" and prefix_mask is None else joined
    mixed = mix(grouped, over, own, lambda scores: soft_capped(scores, softcap))
    return mixed.reshape(-1, kv_heads * prefix.groups, prefix.queries, head_dim).transpose(1, 2), None


def soft_capped(scores: torch.Tensor, cap: float | None) -> torch.Tensor:
    """Limit scores to (-cap, cap), where there is a cap."""
    return scores if cap is None else torch.tanh(scores / cap) * cap


def _refuse(module: torch.nn.Module, arguments: dict[str, Any]) -> None:
    asked = sorted(name for name, value in arguments.items() if value is not None and name not in _HARMLESS)
    if not getattr(module, "is_causal", True):
        asked.append("bidirectional attention")
    if asked:
        raise UnsupportedAttentionError(", ".join(asked))


AttentionInterface.register(NAME, attend)
