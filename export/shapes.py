"""The sizes of a model that its graph and its bundle need, whatever its family calls them."""

from dataclasses import dataclass
from typing import Any, Self

from optimum.utils.normalized_config import NormalizedConfigManager


@dataclass(frozen=True)
class Shapes:
    """Sizes of a decoder; `context` is the number of positions it was trained for."""

    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int

    @classmethod
    def of(cls, config: Any) -> Self:
        """Read a transformers config; optimum knows each family's own names."""
        names = NormalizedConfigManager.get_normalized_config_class(config.model_type)(config)
        heads = names.num_attention_heads
        return cls(
            layers=names.num_layers,
            hidden_size=names.hidden_size,
            heads=heads,
            kv_heads=getattr(names, "num_key_value_heads", None) or heads,
            # optimum assumes hidden_size / heads, which is wrong for families that state it apart.
            head_dim=getattr(config, "head_dim", None) or names.hidden_size // heads,
            context=config.max_position_embeddings,
        )
