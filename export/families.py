"""Which model families can be exported, and where each keeps the parts the graph needs.

A family stands here once its attention is known to be what `export.attention` computes, its rotary
embedding is independent of the length, and its parity has been tested. Others are refused by name.
"""

from dataclasses import dataclass
from typing import Any, Final

from worker.errors import ExportError


@dataclass(frozen=True)
class Family:
    """Dotted module paths inside the transformers causal model, and the rope types it may use."""

    blocks: str
    norm: str
    rope_types: frozenset[str]


FAMILIES: Final = {
    "llama": Family("model.layers", "model.norm", frozenset({"default", "linear", "llama3", "yarn"})),
}

_CAUSAL: Final = ("ForCausalLM", "LMHeadModel")


def family_of(config: Any, model: str) -> Family:
    """The family of a transformers config.

    Raises ExportError: not a causal language model, a family not supported yet, or a rope that
    changes with the length of the text.
    """
    architectures = tuple(getattr(config, "architectures", None) or ())
    if getattr(config, "is_encoder_decoder", False) or (
        architectures and not any(name.endswith(_CAUSAL) for name in architectures)
    ):
        kind = architectures[0] if architectures else config.model_type
        raise ExportError(
            f"{model} is not a causal language model ({kind}): choose an instruct model that generates text"
        )
    family = FAMILIES.get(config.model_type)
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise ExportError(
            f"{model} is of the family {config.model_type}, which cannot be exported; supported: {known}"
        )
    scaling = getattr(config, "rope_scaling", None) or {}
    rope = scaling.get("rope_type", scaling.get("type", "default"))
    if rope not in family.rope_types:
        raise ExportError(
            f"{model} uses the rope type {rope}, which changes with the text's length and cannot be exported"
        )
    return family
