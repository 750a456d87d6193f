"""Reads a model's own tensors as float32, one at a time, from GGUF or safetensors, with numpy alone."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from engine.errors import BundleError
from export.building.gguf_file import GgufFile

Floats = NDArray[np.float32]

_MOST_ROWS: Final = 1000  # label tokens
# The library itself allows 100 MB, which takes many times that in memory. The largest real ones have 200 kB.
_LARGEST_HEADER: Final = 16 << 20


class Derivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a weight of the graph is made from a tensor of the model. The steps apply in this order.

    `unrope` heads: GGUF stores the rows of q and k with the two halves of each rotary pair side by side; this
    separates the halves again. `rows`: keep only these. `transpose`: [out, in] to [in, out]. `add`: add each
    of these in turn, in float32, as for a norm that multiplies by 1 + its weight.
    """

    file: str
    tensor: str
    unrope: int = 0
    rows: tuple[int, ...] = ()
    transpose: bool = False
    add: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would make the result larger than the tensor."""
        if len(self.rows) > _MOST_ROWS or len(self.add) > _MOST_ROWS:
            raise ValueError(f"rows and add list at most {_MOST_ROWS}")

    def apply(self, tensor: Floats) -> Floats:
        """Compute the weight, C-contiguous.

        Raises ValueError or IndexError where the tensor's sizes do not fit.
        """
        if self.unrope:
            pairs = tensor.reshape(self.unrope, -1, 2, tensor.shape[-1])
            tensor = pairs.swapaxes(1, 2).reshape(tensor.shape)
        if self.rows:
            tensor = tensor[list(self.rows)]
        for term in self.add:
            tensor = tensor + np.float32(term)
        return np.ascontiguousarray(tensor.T if self.transpose else tensor)


class Tensors(Mapping[str, Floats]):
    """The tensors of one file by name. Each look-up reads (and dequantises) the tensor again."""

    def __init__(self, path: Path) -> None:
        """Raises BundleError: the file is neither GGUF nor safetensors, or claims more than it holds."""
        self._gguf: GgufFile | None = None
        self._safetensors: Any = None
        try:
            if path.suffix == ".gguf":
                self._gguf = GgufFile(path)
                self._names = list(self._gguf.tensors)
            else:
                _require_header(path)
                self._safetensors = safe_open(path, framework="numpy")
                self._names = sorted(self._safetensors.keys())
        except (OSError, ValueError, SafetensorError) as error:
            raise BundleError(f"cannot read tensors from {path}: {str(error).splitlines()[0]}") from None

    def __getitem__(self, name: str) -> Floats:
        if name not in self._names:
            raise KeyError(name)
        if self._gguf is None:
            return np.asarray(self._safetensors.get_tensor(name)).astype(np.float32, copy=False)
        tensor = self._gguf.tensors[name]
        return np.asarray(gguf.dequantize(tensor.data, tensor.kind), np.float32)

    def value(self, key: str) -> Any:
        """A single value in the file's metadata; None where it is missing. Only a GGUF has metadata."""
        return self._gguf.values.get(key) if self._gguf is not None else None

    def listed(self, key: str) -> list[str] | None:
        """A list in the file's metadata; None where it is missing. Only a GGUF has metadata."""
        found = self.value(key)
        return None if found is None else list(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _require_header(path: Path) -> None:
    """Raise ValueError where a safetensors file claims a header that is larger than any real one."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > min(_LARGEST_HEADER, path.stat().st_size):
        raise ValueError(f"its header should have {size} bytes")
