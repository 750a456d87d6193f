"""Exports an encoder-decoder (T5) as one ONNX graph: the label logits of the first word of its answer.

Inputs   input_ids [B, L] int64, right-padded: prefix, message and suffix; lengths [B] int64
Outputs  label_logits [B, labels]

The encoder reads in both directions, so a token's keys depend on what follows. Hence no prefix can be bound,
and no layer can be read without the suffix. This is for evaluation baselines. Everything is float32.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import torch
from transformers import PreTrainedModel

from export.exporting.graph import trace_module
from export.exporting.parity import Answer, Sample


class FirstAnswerGraph(torch.nn.Module):
    """The module that is exported: the encoder, and one decoder step without the vocabulary."""

    model: Any  # a PreTrainedModel, whose own annotations are incomplete

    def __init__(self, model: PreTrainedModel, label_ids: list[int]) -> None:
        super().__init__()
        self.model = model
        config: Any = model.config
        self._start = int(config.decoder_start_token_id)
        # transformers scales the last hidden state where input and output share one embedding table.
        self._scale = config.d_model**-0.5 if config.tie_word_embeddings else None
        head = self.model.get_output_embeddings()
        self.label_weight = torch.nn.Parameter(head.weight[label_ids].detach().clone(), requires_grad=False)

    def forward(self, input_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Run one pass of the encoder and one step of the decoder."""
        batch, length = input_ids.shape
        mask = (torch.arange(length)[None, :] < lengths[:, None]).to(torch.int64)
        read = self.model.get_encoder()(input_ids=input_ids, attention_mask=mask)
        answer = self.model.get_decoder()(
            input_ids=torch.full((batch, 1), self._start, dtype=torch.int64),
            encoder_hidden_states=read.last_hidden_state,
            encoder_attention_mask=mask,
            use_cache=False,
        )
        first = answer.last_hidden_state[:, 0]
        logits: torch.Tensor = (first if self._scale is None else first * self._scale) @ self.label_weight.T
        return logits


def trace(model: PreTrainedModel, label_ids: list[int]) -> onnx.ModelProto:
    """Trace the model with small dummy inputs; return the graph with its weights inside."""
    graph = FirstAnswerGraph(model, label_ids)
    return trace_module(graph, [], [], ["label_logits"], {"label_logits": {0: "batch"}})


def original_answers(
    model: PreTrainedModel, prefix: list[int], samples: list[Sample], label_ids: list[int]
) -> Iterator[Answer]:
    """Run the unchanged model on prefix + message + suffix; return one answer per sample, without vectors."""
    whole: Any = model
    start = torch.tensor([[model.config.decoder_start_token_id]])
    for sample in samples:
        ids = torch.tensor([[*prefix, *sample.message, *sample.suffix]])
        with torch.no_grad():
            logits = whole(input_ids=ids, decoder_input_ids=start, use_cache=False).logits
        yield Answer(logits[0, -1, label_ids].numpy(), np.empty((0, 0), np.float32))
