"""Makes a Llama of a few thousand random weights, as a folder that `save_pretrained` writes.

It has the features of real ones: grouped queries, a separate head_dim, llama3 rope, tied or untied
embeddings. Every byte is a token. It was never trained.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from engine.task import RiskStage, SeverityLevel, SeverityStage, Task

TASK = Task(
    name="tiny",
    description="A task for tests",
    languages=("en",),
    instruction="Read the message.",
    message="Message: {message}",
    risk=RiskStage(question="Risk? y or n", clear="n", at_risk="y"),
    severity=SeverityStage(
        question="How severe? a or b",
        levels=(SeverityLevel("low", "a", "little"), SeverityLevel("high", "b", "much")),
    ),
)

CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def write_tiny_llama(
    folder: Path,
    *,
    seed: int = 0,
    chat_template: str | None = CHAT,
    shard_size: str = "1GB",
    **overrides: Any,
) -> Path:
    """Write config, weights and tokenizer; `overrides` go to LlamaConfig."""
    config = {
        "vocab_size": 257,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        # Large weights make attention and labels clear-cut, so that a mistake shows.
        "initializer_range": 0.2,
    }
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**(config | overrides))).save_pretrained(folder, max_shard_size=shard_size)
    write_byte_tokenizer(folder, chat_template)
    return folder


def write_byte_tokenizer(folder: Path, chat_template: str | None = CHAT) -> None:
    """Write a tokenizer of one token per byte."""
    unknown = "<unk>"
    alphabet = [unknown, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(
        models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[], unk_token=unknown)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown)
    fast.chat_template = chat_template
    fast.save_pretrained(folder)
