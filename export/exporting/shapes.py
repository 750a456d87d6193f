"""The sizes of a model that its graph and its bundle need, under one name for all families."""

from dataclasses import dataclass
from typing import Any, Self

from optimum.utils.normalized_config import NormalizedTextConfigWithGQA

from export.exporting.families import Family, context_of


@dataclass(frozen=True)
class Shapes:
    """Sizes of a decoder or an encoder; `context` is the number of positions that the graph can read."""

    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int

    @classmethod
    def of(cls, config: Any, family: Family) -> Self:
        """Read a transformers config.

        Optimum's table of families is not used, because it lacks some of ours. Its generic names fall back on
        transformers' own map for each family.
        """
        names = NormalizedTextConfigWithGQA(config)
        heads = names.num_attention_heads
        return cls(
            layers=names.num_layers,
            hidden_size=names.hidden_size,
            heads=heads,
            kv_heads=getattr(names, "num_key_value_heads", None) or heads,
            # optimum assumes hidden_size / heads, which is wrong for families that state it separately.
            head_dim=getattr(config, "head_dim", None) or names.hidden_size // heads,
            context=context_of(config, family),
        )
