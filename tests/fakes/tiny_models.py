"""Makes models of a few thousand random weights for each family, as folders that `save_pretrained` writes.

They have the features of real ones: grouped queries, a separate head_dim, rope types, soft caps, sliding
windows (short enough to hide some tokens), tied or untied embeddings. Every byte is a token. For T5, every
letter is one, with or without the space before it, and a text ends with </s>.
"""

from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.fakes.tiny_llama import CHAT, LLAMA3_ROPE, write_byte_tokenizer

HEAD_DIM: Final = 16
WINDOW: Final = 24
# The tests' longest prefix fits with a message. From one token more on, longrope takes its long factors.
ORIGINAL_CONTEXT: Final = 2050

# The initializer_range is large: it makes attention and labels clear-cut, so that a mistake shows.
_COMMON: Final[dict[str, Any]] = {
    "vocab_size": 257,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
    "initializer_range": 0.2,
}
_ALTERNATING: Final = ["sliding_attention", "full_attention", "sliding_attention"]
_GEMMA: Final[dict[str, Any]] = {
    "head_dim": HEAD_DIM,
    "query_pre_attn_scalar": 20,
    "sliding_window": WINDOW,
    "layer_types": _ALTERNATING,
    "tie_word_embeddings": True,
}
_LONGROPE: Final = {
    "type": "longrope",
    "short_factor": [1.0, 1.1, 1.5, 2.0],
    "long_factor": [1.0, 3.0, 9.0, 27.0],
}

# Name of the shape -> model type, and what its config has in addition to _COMMON.
SHAPES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "llama 3.2": (
        "llama",
        {"rope_scaling": LLAMA3_ROPE, "rope_theta": 500000.0, "tie_word_embeddings": True},
    ),
    "smollm2": ("llama", {"rope_theta": 100000.0, "tie_word_embeddings": True}),
    "smollm3": (
        "smollm3",
        {"num_hidden_layers": 4, "no_rope_layer_interval": 4, "tie_word_embeddings": True},
    ),
    "qwen2.5": ("qwen2", {"rope_theta": 1e6, "tie_word_embeddings": True}),
    "qwen2, sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"head_dim": HEAD_DIM, "tie_word_embeddings": True}),
    "mistral": ("mistral", {"sliding_window": WINDOW, "head_dim": HEAD_DIM}),
    "phi3": ("phi3", {"num_key_value_heads": 6, "sliding_window": WINDOW}),
    "phi3.5": (
        "phi3",
        {
            "rope_scaling": _LONGROPE,
            "original_max_position_embeddings": ORIGINAL_CONTEXT,
            "max_position_embeddings": 4 * ORIGINAL_CONTEXT,
            "sliding_window": 8 * ORIGINAL_CONTEXT,
        },
    ),
    "gemma2": (
        "gemma2",
        {**_GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 1.5},
    ),
    "gemma3": (
        "gemma3_text",
        {
            **_GEMMA,
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        },
    ),
}

SEQ2SEQ: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "flan-t5": (
        "t5",
        {
            "d_model": 48,
            "d_kv": 16,
            "d_ff": 96,
            "num_layers": 3,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 24,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
            "decoder_start_token_id": 0,
            "eos_token_id": 1,
            "n_positions": 4096,
            "initializer_factor": 1.0,
        },
    ),
}
SEQ2SEQ["t5 1.0"] = (
    "t5",
    {**SEQ2SEQ["flan-t5"][1], "feed_forward_proj": "relu", "tie_word_embeddings": True},
)


def tiny_config(shape: str, **overrides: Any) -> PretrainedConfig:
    """Return the config of one of SHAPES or SEQ2SEQ, changed by `overrides`."""
    family, special = (SHAPES | SEQ2SEQ)[shape]
    common = _COMMON if shape in SHAPES else {"vocab_size": 257, "pad_token_id": 0}
    config: PretrainedConfig = CONFIG_MAPPING[family](**(common | special | overrides))
    return config


def tiny_model(config: PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    """Make a model whose weights, norms and biases are all random, because ones and zeros hide mistakes."""
    torch.manual_seed(seed)
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model: PreTrainedModel = kind.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(0.4 * torch.randn_like(weight))
    model.eval()
    return model


def write_tiny_model(folder: Path, shape: str, *, chat_template: str | None = CHAT, **overrides: Any) -> Path:
    """Write config, weights and tokenizer of one of SHAPES or SEQ2SEQ."""
    config = tiny_config(shape, **overrides)
    tiny_model(config).save_pretrained(folder)
    if config.is_encoder_decoder:
        _write_piece_tokenizer(folder)
    else:
        write_byte_tokenizer(folder, chat_template)
    return folder


def _write_piece_tokenizer(folder: Path) -> None:
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["<pad>", "</s>", "<unk>", "▁", *letters, *(f"▁{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(len(piece) == 1)) for piece in pieces], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], special_tokens=[("</s>", 1)]
    )
    fast: Any = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
