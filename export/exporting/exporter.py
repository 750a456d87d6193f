"""Exports a language model from any source as a bundle and its recipe. The only entrance to code with torch.

    find -> load -> prompt and label tokens -> original's answers -> form -> trace -> match -> write -> gates

The bundle appears whole or not at all: if it fails the parity check, no file is left behind.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import onnx
from tokenizers import Tokenizer

from engine.bundle import (
    TOKENIZER,
    Bundle,
    LabelToken,
    Manifest,
    Prompt,
    Source,
    read_manifest,
    write_manifest,
)
from engine.bundle.reference import REFERENCE
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.task import Task
from export.building.layout import write_model
from export.building.parts import Progress
from export.building.recipe import SUFFIX, Recipe, Weight, write_recipe
from export.building.source import ModelFiles, SourceFile, find_model
from export.building.staging import require_room, staged
from export.building.tensors import Derivation, Floats, Tensors
from export.building.tokens import detach
from export.errors import ExportError
from export.exporting import seq2seq
from export.exporting.attention import UnsupportedAttentionError
from export.exporting.fastest import TRIAL_LAYERS, TRIAL_WORDS, Trace, fastest_form
from export.exporting.forms import Form
from export.exporting.graph import OPSET, shrunk, trace
from export.exporting.load import Loaded, load_model
from export.exporting.match import match_weights
from export.exporting.metadata import check_metadata
from export.exporting.original import original_answers
from export.exporting.parity import Sample, check_parity, gates, reference_of, samples_for
from export.exporting.prompt import Encode, Shot, check_context, label_tokens, split_prompt
from export.exporting.shapes import Shapes


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    bundle: Path
    recipe: Path
    fingerprint: str
    manifest: Manifest


@dataclass(frozen=True)
class _Asked:
    """The task's prompt and label tokens for this model."""

    prompt: Prompt
    labels: tuple[LabelToken, ...]
    encode: Encode

    @property
    def label_ids(self) -> list[int]:
        return [label.token_id for label in self.labels]


def export_model(
    model: str,
    task: Task,
    out: Path,
    progress: Progress | None = None,
    recipe: Path | None = None,
    *,
    shots: Sequence[Shot] = (),
    form: Form | Literal["auto"] = "auto",
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
) -> Exported:
    """Export `model` for `task` into the folder `out`, and write its recipe.

    Args:
        model: A short name such as `smollm2`, a hub id, a folder with safetensors, or a GGUF file.
        task: The screening task; the model must have each of its answers as one token.
        out: The bundle's folder, which must not exist yet.
        progress: Called with a stage, and how much of it is done.
        recipe: Where the recipe is written; None means beside the bundle.
        shots: Solved examples that stand in the prompt, before the message.
        form: How the graph computes attention; "auto" takes what is fastest with this prefix on `device`.
        device: Where the bundle will run. Parity is checked there, and always on the CPU in fp32.
        precision: The precision in which it will run there.

    Raises ExportError: see the message; no file is left behind. DeviceError: this machine lacks the device or
    precision.
    """
    report = progress or _silent
    if out.exists():
        raise ExportError(f"{out} exists already: remove it or choose another folder")
    require_room(out)
    choices = gates(device, precision)
    report("load the model", 0, 0)
    files = find_model(model, report)
    tensors = {path.name: Tensors(path) for path in files.weights}
    loaded = load_model(files, {name for file in tensors.values() for name in file}, model)
    shapes = Shapes.of(loaded.model.config, loaded.family)
    if files.gguf is not None:
        check_metadata(tensors[files.gguf.name], loaded.model.config, shapes, model)
    asked = _ask(task, loaded, shapes, shots)
    prefix = asked.encode(asked.prompt.prefix)
    samples = _fitting(samples_for(asked.prompt, asked.encode), shapes.context - len(prefix))
    expected = []
    ask = original_answers if loaded.family.bound else seq2seq.original_answers
    for answer in ask(loaded.model, prefix, samples, asked.label_ids):
        expected.append(answer)
        report("ask the original model", len(expected), len(samples))
    manifest = Manifest(
        source=_source(files, loaded, shapes),
        task=task,
        prompt=asked.prompt,
        labels=asked.labels,
        reading="prompted",
        precision="fp32",
        opset=OPSET,
        form="joined",
        parity={},
        files={TOKENIZER: hashlib.sha256(loaded.tokenizer).hexdigest()},
        prefix="bound" if loaded.family.bound else "in_row",
    )
    reference, tokenizer = reference_of(samples, expected), loaded.tokenizer
    traced = _tracer(loaded, shapes, asked.label_ids, model)
    if not (loaded.family.bound and prefix):
        form = "joined"  # there is no bound prefix to merge with
    elif form == "auto":
        report("measure the graph's forms", 0, 0)
        with shrunk(loaded.model, shapes, TRIAL_LAYERS, TRIAL_WORDS) as small:
            trial = _tracer(loaded, small, asked.label_ids, model)
            form = fastest_form(trial, small, prefix, reference, choices[-1])
        del trial
    manifest = msgspec.structs.replace(manifest, form=form)
    report("trace the graph", 0, 0)
    graph = traced(form)
    del loaded, traced  # the parity check holds the graph twice, so the original is freed first
    with staged(out) as folder:
        (folder / TOKENIZER).write_bytes(tokenizer)
        reference.save(folder / REFERENCE)
        report("write the recipe", 0, 0)
        heads = (shapes.heads, shapes.kv_heads) if files.gguf else ()
        weights = write_model(graph, folder)
        written = _recipe(files, weights, match_weights(weights, tensors, heads, asked.label_ids))
        del graph, weights
        report("check parity", 0, 0)
        parity = check_parity(Bundle(folder, manifest, "", reference, None, None), choices)
        write_manifest(folder, msgspec.structs.replace(manifest, parity=parity))
        recipe = recipe or out.with_name(out.name + SUFFIX)
        skeleton = None if files.tokenizer else detach(tokenizer, tensors[files.weights[0].name])
        write_recipe(recipe, written, folder, skeleton)
    manifest, fingerprint = read_manifest(out)
    return Exported(out, recipe, fingerprint, manifest)


def _tracer(loaded: Loaded, shapes: Shapes, label_ids: list[int], model: str) -> Trace:
    def traced(form: Form) -> onnx.ModelProto:
        try:
            if loaded.family.bound:
                return trace(loaded.model, shapes, label_ids, form)
            return seq2seq.trace(loaded.model, label_ids)
        except UnsupportedAttentionError as feature:
            raise ExportError(
                f"{model} cannot be exported: an unsupported attention feature ({feature}); "
                "choose another model"
            ) from None

    return traced


def _ask(task: Task, loaded: Loaded, shapes: Shapes, shots: Sequence[Shot]) -> _Asked:
    try:
        tokenizer = Tokenizer.from_buffer(loaded.tokenizer)
    except ValueError as error:
        raise ExportError(f"the model's tokenizer.json cannot be read: {error}") from None

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    prompt = split_prompt(task, lambda instruction, request: loaded.render(instruction, request, shots))
    labels = label_tokens(task, prompt, encode, loaded.unknown, apart=not loaded.family.bound)
    check_context(task, prompt, shapes.context, encode)
    return _Asked(prompt, labels, encode)


def _fitting(samples: list[Sample], room: int) -> list[Sample]:
    """Shorten the samples' messages to what the context holds. Beyond it, the original may differ.

    A tokenizer may give no tokens for another script; such a sample is left out.
    """
    cut = [each._replace(message=each.message[: room - len(each.suffix)]) for each in samples]
    return [each for each in cut if each.message]


def _recipe(files: ModelFiles, weights: dict[str, Floats], made: dict[str, Derivation]) -> Recipe:
    # Hubs keep the same weights in several formats, so the recipe asks only for the files that were used.
    used = {derivation.file for derivation in made.values()}
    needed = [path for path in files.weights if path.name in used or path == files.gguf]
    copied = [files.tokenizer] if files.tokenizer else []
    return Recipe(
        origin=files.origin,
        files=tuple(SourceFile.of(path) for path in [*needed, *copied]),
        weights=tuple(
            Weight(name, hashlib.sha256(np.ascontiguousarray(weight).data).hexdigest(), made[name])
            for name, weight in weights.items()
        ),
        tokenizer=files.tokenizer.name if files.tokenizer else None,
    )


def _source(files: ModelFiles, loaded: Loaded, shapes: Shapes) -> Source:
    return Source(
        name=files.name,
        revision=f"{files.origin.name} {files.origin.revision}" if files.gguf else files.origin.revision,
        family=str(loaded.model.config.model_type),
        layers=shapes.layers,
        hidden_size=shapes.hidden_size,
        kv_heads=shapes.kv_heads,
        head_dim=shapes.head_dim,
        context=shapes.context,
    )


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Ignore the progress, where nobody asked for it."""
