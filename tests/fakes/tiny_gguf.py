"""Writes a tiny model as a GGUF as llama.cpp does: with rope pairs side by side, and norms plus one."""

from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import pre_tokenizers
from transformers import PretrainedConfig, PreTrainedModel
from transformers.integrations import ggml
from transformers.modeling_gguf_pytorch_utils import get_gguf_hf_weights_map

_ARCHITECTURES: Final = {"gemma3_text": "gemma3"}
# Keys that real files have and transformers does not read. It uses its own defaults, which are the same.
_UNREAD: Final = ("attn_logit_softcapping", "final_logit_softcapping")


def write_tiny_gguf(path: Path, model: PreTrainedModel, **metadata: Any) -> Path:
    """Write a model of a family that transformers can load from a GGUF. `metadata` is added to its own."""
    config = model.config
    architecture = _ARCHITECTURES.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in (_metadata(architecture, config) | metadata).items():
        _add(writer, f"{architecture}.{key}", value)
    _add_tokenizer(writer, pieces=architecture in {"phi3", "gemma2", "gemma3"})
    state = model.state_dict()
    for name, original in get_gguf_hf_weights_map(model).items():
        if original in state and not (original == "lm_head.weight" and config.tie_word_embeddings):
            writer.add_tensor(name, _stored(architecture, name, state[original].float().numpy(), config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _metadata(architecture: str, config: PretrainedConfig) -> dict[str, Any]:
    mapping: Any = ggml.GGUF_CONFIG_MAPPING[architecture]
    known = {key: name for key, name in mapping.items() if name}
    known |= {name: name for name in _UNREAD}
    values = {key: getattr(config, name, None) for key, name in known.items()}
    return {key: value for key, value in values.items() if value is not None}


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_uint32(key, value)


def _add_tokenizer(writer: gguf.GGUFWriter, *, pieces: bool) -> None:
    special = ["<unk>", "<s>", "</s>"]
    letters = [chr(code) for code in range(33, 127)]
    alphabet = ["\u2581", " ", "\n", *letters] if pieces else sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*special, *alphabet, "th", "in"]
    writer.add_tokenizer_model("llama" if pieces else "gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(special) + [1] * (len(tokens) - len(special)))
    writer.add_token_merges(["t h", "i n"])
    if pieces:
        writer.add_token_scores([0.0] * len(special) + [-1.0] * (len(tokens) - len(special)))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)


def _stored(
    architecture: str, name: str, weight: NDArray[np.float32], config: PretrainedConfig
) -> NDArray[np.float32]:
    if architecture.startswith("gemma") and name.endswith("norm.weight"):
        return weight + 1
    heads = {"attn_q.": config.num_attention_heads, "attn_k.": config.num_key_value_heads}
    for part, count in heads.items():
        if architecture == "llama" and part in name:
            halves = weight.reshape(count, 2, -1, *weight.shape[1:])
            return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))
    return weight
