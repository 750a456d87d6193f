"""Removes from a tokenizer.json what the model's own file already holds, and restores it byte for byte.

Vocabulary and merges are most of a tokenizer. A GGUF lists them in its metadata, and a folder has a
tokenizer.json, so a recipe keeps only a skeleton with references, or a note to copy the file.
"""

import json
from typing import Any, Final

import gguf

from export.building.tensors import Tensors

_REFERENCE: Final = {"$in": "gguf"}


def canonical(tokenizer: Any) -> bytes:
    """The canonical JSON text of a tokenizer, which bundles hold."""
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")).encode()


def canonical_text(tokenizer: str) -> bytes:
    """The canonical text of a tokenizer.json that is written in any way."""
    return canonical(json.loads(tokenizer))


def detach(tokenizer: bytes, source: Tensors) -> bytes:
    """Replace vocabulary and merges by references to the GGUF `source`, where both are identical."""
    skeleton = json.loads(tokenizer)
    model = skeleton["model"]
    for part, listed in _listed(source).items():
        # The order must match as well, so that a rebuilt tokenizer has the same bytes.
        if part in model and canonical(model[part]) == canonical(listed):
            model[part] = dict(_REFERENCE)
    return canonical(skeleton)


def attach(skeleton: bytes, source: Tensors) -> bytes:
    """Undo `detach` with the same GGUF. A skeleton without references is returned unchanged."""
    tokenizer = json.loads(skeleton)
    model = tokenizer["model"]
    for part, listed in _listed(source).items():
        if model.get(part) == _REFERENCE:
            model[part] = listed
    return canonical(tokenizer)


def _listed(source: Tensors) -> dict[str, Any]:
    """Vocabulary and merges in the form of a tokenizer.json, as far as the GGUF has them."""
    listed: dict[str, Any] = {}
    if (tokens := source.listed(gguf.Keys.Tokenizer.LIST)) is not None:
        listed["vocab"] = {token: number for number, token in enumerate(tokens)}
    if (merges := source.listed(gguf.Keys.Tokenizer.MERGES)) is not None:
        listed["merges"] = [merge.split(" ") for merge in merges]
    return listed
