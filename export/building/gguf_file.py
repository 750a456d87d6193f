"""Reads a GGUF's header within bounds: the lengths and counts in it are checked against the file's size.

The reader of the `gguf` package makes an array for each word of a vocabulary (half a million words took 10 s
and 600 MB here) and trusts every length: a file of 60 bytes that claims to hold a million million words keeps
it going until memory is full. This module uses only the package's tables of types and its dequantisation.
"""

import math
import struct
from pathlib import Path
from typing import Any, Final, NamedTuple

import gguf
import numpy as np
from numpy.typing import NDArray

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = {2, 3}
_ALIGNMENT: Final = 32
_STRING, _LIST = 8, 9
# For each type: its code in `struct` and numpy.
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

# The largest real files, of 262,000 words, list a score and a type for each, or half a million merges.
_PAIRS: Final = 4096
_WORDS: Final = 1_500_000  # in all lists of strings together
_NUMBERS: Final = 1_500_000
_TENSORS: Final = 100_000
_DIMENSIONS: Final = 4


class GgufError(ValueError):
    """The file is not a GGUF, or claims more than it holds."""


class StoredTensor(NamedTuple):
    """A tensor's bytes [..., bytes of a row], as `gguf.dequantize` takes them, and their type."""

    data: NDArray[np.uint8]
    kind: gguf.GGMLQuantizationType


class GgufFile:
    """A GGUF. `values` is the metadata, with lists of numbers as arrays; `tensors` says where each tensor is.

    No tensor is read when the file is opened.
    """

    def __init__(self, path: Path) -> None:
        """Raises GgufError, and OSError where the file cannot be read."""
        if not path.stat().st_size:
            raise GgufError("it is empty")
        self._data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
        self._view = memoryview(np.asarray(self._data).data)
        self._at = 0
        self._words, self._numbers = _WORDS, _NUMBERS
        if bytes(self._take(4)) != _MAGIC or self._number("I") not in _VERSIONS:
            raise GgufError("it is not a GGUF of version 2 or 3")
        tensors, pairs = self._number("Q"), self._number("Q")
        if tensors > _TENSORS or pairs > _PAIRS:
            raise GgufError(f"it says that it has {pairs} values and {tensors} tensors")
        self.values: dict[str, Any] = {}
        for _ in range(pairs):
            name = self._text()
            if name in self.values:
                raise GgufError("it has a value twice")
            self.values[name] = self._value(self._number("I"))
        described = [self._described() for _ in range(tensors)]
        alignment = self.values.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise GgufError("its alignment is not a power of two")
        start = -(-self._at // alignment) * alignment
        self.tensors = {name: self._stored(shape, kind, start + at) for name, shape, kind, at in described}
        if len(self.tensors) != len(described):
            raise GgufError("it has a tensor twice")

    def _take(self, size: int) -> memoryview:
        if size > len(self._view) - self._at:
            raise GgufError(f"it ends before the {size} bytes that should follow byte {self._at}")
        self._at += size
        return self._view[self._at - size : self._at]

    def _number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._take(struct.calcsize(code)))[0]

    def _text(self) -> str:
        content = bytes(self._take(self._number("Q")))
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise GgufError("it holds text that is not UTF-8") from None

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _LIST:
            return self._list(self._number("I"), self._number("Q"))
        if kind not in _SCALARS:
            raise GgufError(f"it has a value of the unknown type {kind}")
        return self._number(_SCALARS[kind])

    def _list(self, kind: int, length: int) -> Any:
        if kind == _STRING:
            self._words -= length
            if self._words < 0:
                raise GgufError(f"it says that it lists more than {_WORDS} words")
            return [self._text() for _ in range(length)]
        self._numbers -= length
        if kind not in _SCALARS or self._numbers < 0:
            raise GgufError(f"it has a list of {length} values of type {kind}")
        code = np.dtype(_SCALARS[kind]).newbyteorder("<")
        return np.frombuffer(self._take(length * code.itemsize), code)

    def _described(self) -> tuple[str, list[int], gguf.GGMLQuantizationType, int]:
        name, dimensions = self._text(), self._number("I")
        if not 1 <= dimensions <= _DIMENSIONS:
            raise GgufError(f"it has a tensor of {dimensions} dimensions")
        shape = [self._number("Q") for _ in range(dimensions)]
        try:
            kind = gguf.GGMLQuantizationType(self._number("I"))
        except ValueError:
            raise GgufError("it has a tensor of an unknown type") from None
        return name, shape[::-1], kind, self._number("Q")

    def _stored(self, shape: list[int], kind: gguf.GGMLQuantizationType, start: int) -> StoredTensor:
        of_row, size = gguf.GGML_QUANT_SIZES[kind]
        if shape[-1] % of_row:
            raise GgufError(f"it has a tensor whose rows of {shape[-1]} are not whole blocks of {of_row}")
        rows = [*shape[:-1], shape[-1] // of_row * size]
        end = start + math.prod(rows)
        if end > len(self._data):
            raise GgufError(f"it ends before a tensor of {shape} that should be at byte {start}")
        return StoredTensor(self._data[start:end].reshape(rows), kind)
