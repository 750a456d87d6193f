"""Writes a tiny sentence embedding's folder without torch: a BERT of random weights, a token a letter."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

CONFIG: Final[dict[str, Any]] = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "vocab_size": 64,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz?!. "


def write_settings(folder: Path, *, normalised: bool = True, **pooling: bool) -> None:
    """Everything but the weights, as sentence-transformers writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalised else [])]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(zip(kinds, paths, strict=False))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = pooling or {"pooling_mode_mean_tokens": True}
    chosen = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": False} | modes
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(chosen))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}))
    _write_tokenizer(folder)


def write_tiny_bert(folder: Path, seed: int = 0, *, normalised: bool = True, **pooling: bool) -> Path:
    """The whole folder."""
    write_settings(folder, normalised=normalised, **pooling)
    chance = np.random.default_rng(seed)
    width, wide = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (CONFIG["vocab_size"], width),
        "embeddings.position_embeddings.weight": (CONFIG["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (CONFIG["type_vocab_size"], width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    sizes = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "attention.output.LayerNorm": (width,),
        "intermediate.dense": (wide, width),
        "output.dense": (width, wide),
        "output.LayerNorm": (width,),
    }
    for layer in range(CONFIG["num_hidden_layers"]):
        for name, shape in sizes.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
    tensors = {name: chance.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


def _write_tokenizer(folder: Path) -> None:
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
