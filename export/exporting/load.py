"""Loads a model and its tokenizer through transformers, in float32, and refuses an incomplete model."""

import contextlib
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging

from export.building.source import ModelFiles
from export.building.tokens import canonical_text
from export.errors import ExportError
from export.exporting.families import Family, family_of
from export.exporting.prompt import Shot, plain_template
from export.exporting.quick_gguf import read_quickly

# Without a date, Llama 3's template would write today's into the prompt, and every day give another bundle.
_DATE = "01 January 2025"


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be traced. `tokenizer` is the content of tokenizer.json."""

    model: PreTrainedModel
    family: Family
    tokenizer: bytes
    render: Callable[[str, str, Sequence[Shot]], str]
    unknown: int | None


def load_model(files: ModelFiles, tensors: Collection[str], model: str) -> Loaded:
    """Load the model at `files`, which has these `tensors`; `model` is the name that the user gave.

    Raises ExportError: not a causal language model, a family not supported, a tensor missing from its
    files, or a tokenizer that the worker could not read.
    """
    where: dict[str, Any] = {"pretrained_model_name_or_path": str(files.folder), "local_files_only": True}
    if files.gguf is not None:
        where["gguf_file"] = files.gguf.name
        if {"rope_freqs.weight", "rope_factors_short.weight"}.intersection(tensors):
            # transformers silently ignores this tensor, and then gives every token a wrong position.
            raise ExportError(
                f"{model} scales its rope with a tensor that transformers ignores in a GGUF: "
                "export the model from its safetensors instead"
            )
    tokenizers: Any = AutoTokenizer
    with _quiet(), read_quickly():
        try:
            config = AutoConfig.from_pretrained(**where)
        except (ValueError, OSError) as error:
            raise ExportError(f"transformers cannot read {model}: {_line(error)}") from None
        family = family_of(config, model)
        models: Any = AutoModelForCausalLM if family.bound else AutoModelForSeq2SeqLM
        try:
            # "eager", because the other attentions of transformers silently leave out soft caps.
            loaded, report = models.from_pretrained(
                **where,
                config=config,
                dtype=torch.float32,
                attn_implementation="eager",
                output_loading_info=True,
            )
            tokenizer = tokenizers.from_pretrained(**where, config=config, use_fast=True)
        except (ImportError, ValueError, OSError) as error:
            raise ExportError(f"transformers cannot load {model}: {_line(error)}") from None
    if report["missing_keys"]:
        raise ExportError(
            f"{model} is incomplete: its files have no {min(report['missing_keys'])}; download it again"
        )
    if not tokenizer.is_fast:
        raise ExportError(f"{model} has no tokenizer.json and none can be made from its tokenizer: add one")
    content = (
        files.tokenizer.read_bytes()
        if files.tokenizer
        else canonical_text(tokenizer.backend_tokenizer.to_str())
    )
    return Loaded(loaded.eval(), family, content, _renderer(tokenizer, family, model), tokenizer.unk_token_id)


def _renderer(tokenizer: Any, family: Family, model: str) -> Callable[[str, str, Sequence[Shot]], str]:
    def plain(instruction: str, request: str, shots: Sequence[Shot]) -> str:
        # The special tokens that the tokenizer puts around a text; here, texts are tokenised without them.
        first, *_, last = tokenizer("a a")["input_ids"]
        start = tokenizer.bos_token if first == tokenizer.bos_token_id else ""
        # A text that the model is to continue has no end token.
        end = tokenizer.eos_token if last == tokenizer.eos_token_id and not family.bound else ""
        return start + plain_template(instruction, request, shots) + end

    def chat(instruction: str, request: str, shots: Sequence[Shot]) -> str:
        turns = [
            {"role": role, "content": words}
            for shot in [*shots, Shot(request, "")]
            for role, words in (("user", shot.request), ("assistant", shot.answer))
        ][:-1]
        system = [{"role": "system", "content": instruction}, *turns]
        # Some templates know no system role.
        first, *rest = turns
        user = [{**first, "content": f"{instruction}\n\n{first['content']}"}, *rest]
        for messages in (system, user):
            with contextlib.suppress(jinja2.TemplateError):
                return str(
                    tokenizer.apply_chat_template(
                        messages, tokenize=False, add_generation_prompt=True, date_string=_DATE
                    )
                )
        raise ExportError(f"the chat template of {model} accepts neither a system nor a user message")

    def render(instruction: str, request: str, shots: Sequence[Shot]) -> str:
        # A message that spells out the template's markers would end its own turn.
        markers = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        for number, shot in enumerate(shots, start=1):
            if any(marker in shot.request for marker in markers):
                raise ExportError(
                    f"shot {number} spells out a special token of {model}: take another example"
                )
        return (chat if tokenizer.chat_template else plain)(instruction, request, shots)

    return render


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing advice and progress bars over ours; real problems are raised."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
