"""Gives transformers a GGUF's content through our own reader, while a model is loaded.

transformers opens the file three times for one model, each time with the `gguf` package's reader, which makes
an array for each word: with 262,000 of them that was half a minute. Ours reads the same content
once, and within bounds (`export.building.gguf_file`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import gguf
import numpy as np
from numpy.typing import NDArray

from export.building.gguf_file import GgufFile

_Kind = gguf.GGUFValueType


class _Field(NamedTuple):
    """A value of the metadata, as far as transformers looks: each of `data` is the place of a part."""

    parts: list[Any]
    data: range
    types: list[_Kind]


class _Tensor(NamedTuple):
    """A tensor, as far as transformers looks."""

    name: str
    data: NDArray[np.uint8]
    tensor_type: gguf.GGMLQuantizationType


class _Reader:
    """Stands in for `gguf.GGUFReader`."""

    def __init__(self, path: str) -> None:
        file = GgufFile(Path(path))
        self.fields = {name: _field(value) for name, value in file.values.items()}
        self.tensors = [_Tensor(name, *stored) for name, stored in file.tensors.items()]


def _field(value: Any) -> _Field:
    """A number is the only element of its part, a text is its bytes."""
    if isinstance(value, list):
        return _Field([word.encode() for word in value], range(len(value)), [_Kind.ARRAY, _Kind.STRING])
    if isinstance(value, np.ndarray):
        kind = {"f": _Kind.FLOAT32, "b": _Kind.BOOL}.get(value.dtype.kind, _Kind.INT64)
        return _Field([(number,) for number in value.tolist()], range(len(value)), [_Kind.ARRAY, kind])
    if isinstance(value, str):
        return _Field([value.encode()], range(1), [_Kind.STRING])
    kind = {float: _Kind.FLOAT32, bool: _Kind.BOOL}.get(type(value), _Kind.INT64)
    return _Field([(value,)], range(1), [kind])


@contextmanager
def read_quickly() -> Iterator[None]:
    """Inside the block, transformers reads each GGUF once."""
    with patch.object(gguf, "GGUFReader", cache(_Reader)):
        yield
