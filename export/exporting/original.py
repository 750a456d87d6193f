"""Asks the original model: with transformers' own attention, one full prompt at a time, without padding."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from export.exporting.graph import HiddenStates, blocks_of
from export.exporting.parity import Answer, Sample


def original_answers(
    model: PreTrainedModel, prefix: list[int], samples: list[Sample], label_ids: list[int]
) -> Iterator[Answer]:
    """Run the unchanged model on prefix + message + suffix; return one answer per sample, in order.

    The hidden states of the message's tokens do not depend on the suffix after them, so one pass gives
    both the label logits and the pooled vectors.
    """
    decoder: Any = model
    for sample in samples:
        ids = torch.tensor([[*prefix, *sample.message, *sample.suffix]])
        with torch.no_grad(), HiddenStates(blocks_of(model)) as hidden:
            logits = decoder(input_ids=ids, use_cache=False, logits_to_keep=1).logits
        own = slice(len(prefix), len(prefix) + len(sample.message))
        pooled = [states[0, own].mean(dim=0).numpy() for states in hidden]
        yield Answer(label_logits=logits[0, -1, label_ids].numpy(), pooled=np.stack(pooled))
