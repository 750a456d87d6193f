"""A tokenizer.json without what its model's own file already holds, and back again, byte for byte.

Vocabulary and merges are most of a tokenizer. A GGUF lists them in its metadata, a folder has a
tokenizer.json; so a recipe keeps a skeleton with references, or only a note to copy the file.
"""

import json
from typing import Any, Final

import gguf

from export.building.tensors import Tensors

_REFERENCE: Final = {"$in": "gguf"}


def canonical(tokenizer: Any) -> bytes:
    """The one spelling of a tokenizer that bundles hold."""
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")).encode()


def canonical_text(tokenizer: str) -> bytes:
    """The same, from a tokenizer.json spelled in any way."""
    return canonical(json.loads(tokenizer))


def detach(tokenizer: bytes, source: Tensors) -> bytes:
    """Replace vocabulary and merges by references to the GGUF `source`, where they are the same there."""
    skeleton = json.loads(tokenizer)
    model = skeleton["model"]
    for part, listed in _listed(source).items():
        # In order as well: a rebuilt tokenizer has the same bytes.
        if part in model and canonical(model[part]) == canonical(listed):
            model[part] = dict(_REFERENCE)
    return canonical(skeleton)


def attach(skeleton: bytes, source: Tensors) -> bytes:
    """Undo `detach`, from the same GGUF; a skeleton without references comes out as it is."""
    tokenizer = json.loads(skeleton)
    model = tokenizer["model"]
    for part, listed in _listed(source).items():
        if model.get(part) == _REFERENCE:
            model[part] = listed
    return canonical(tokenizer)


def _listed(source: Tensors) -> dict[str, Any]:
    """Vocabulary and merges as a tokenizer.json spells them, as far as the GGUF has them."""
    listed: dict[str, Any] = {}
    if (tokens := source.listed(gguf.Keys.Tokenizer.LIST)) is not None:
        listed["vocab"] = {token: number for number, token in enumerate(tokens)}
    if (merges := source.listed(gguf.Keys.Tokenizer.MERGES)) is not None:
        listed["merges"] = [merge.split(" ") for merge in merges]
    return listed
