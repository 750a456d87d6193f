"""Defines which model families can be exported, and what the graph must know about each.

A family is listed here once its attention is known to be what `attention.py` computes and its parity has been
tested. Differences such as soft caps, sliding windows and scalings are not written down here: they are read
from the config and from what transformers passes to the attention, and an argument that is not computed is
refused. Families that are not listed are refused by name.
"""

from dataclasses import dataclass
from typing import Any, Final

from export.errors import ExportError


@dataclass(frozen=True)
class Family:
    """One family. `bound`: the prefix's keys and values are bound once; otherwise it is part of each row.

    `ends` are the possible endings of its architectures' names. `context` is the length that it was trained
    for, where its config does not state one.
    """

    bound: bool = True
    ends: tuple[str, ...] = ("ForCausalLM", "LMHeadModel")
    context: int | None = None


_DECODER: Final = Family()

FAMILIES: Final = {
    "gemma2": _DECODER,
    "gemma3_text": _DECODER,
    "llama": _DECODER,
    "mistral": _DECODER,
    "phi3": _DECODER,
    "qwen2": _DECODER,
    "qwen3": _DECODER,
    "smollm3": _DECODER,
    # Its encoder reads in both directions, so no prefix can be shared. Positions are relative.
    "t5": Family(bound=False, ends=("ForConditionalGeneration",), context=512),
}

# Longrope has one set of frequencies up to a length and another beyond it: see `context_of`.
_ROPE_TYPES: Final = frozenset({"default", "linear", "llama3", "longrope", "yarn"})


def family_of(config: Any, model: str) -> Family:
    """Return the family of a transformers config.

    Raises ExportError: it is not a kind of language model that can be exported, its family is not supported,
    or its rope changes with the length of the text.
    """
    family = FAMILIES.get(config.model_type)
    encodes = bool(getattr(config, "is_encoder_decoder", False))
    architectures = tuple(getattr(config, "architectures", None) or ())
    ends = family.ends if family is not None else _DECODER.ends
    # A GGUF does not name an architecture.
    named = not architectures or any(name.endswith(ends) for name in architectures)
    if not named or (encodes and family is None):
        kind = architectures[0] if architectures else config.model_type
        raise ExportError(
            f"{model} is not a causal language model ({kind}): choose an instruct model that generates text"
        )
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise ExportError(
            f"{model} is of the family {config.model_type}, which cannot be exported; supported: {known}"
        )
    rope = _rope_type(config)
    if rope not in _ROPE_TYPES:
        raise ExportError(
            f"{model} uses the rope type {rope}, which changes with the text's length and cannot be exported"
        )
    return family


def context_of(config: Any, family: Family) -> int:
    """Return how many positions the exported graph can read.

    With longrope this is the length of the original training: a longer text would need the long factors for
    all its tokens, and a graph holds only one set. The context checks refuse what does not fit.
    """
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    context = int(positions or family.context or 0)
    if _rope_type(config) == "longrope":
        context = min(context, int(getattr(config, "original_max_position_embeddings", None) or context))
    return context


def _rope_type(config: Any) -> str:
    scaling = getattr(config, "rope_scaling", None) or {}
    return str(scaling.get("rope_type", scaling.get("type", "default")))
