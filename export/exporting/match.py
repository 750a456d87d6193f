"""Finds, for each large weight of an exported graph, the tensor of the model that it was made from.

It compares content and not names, because a recipe must give the same bytes. The sum over a tensor's bits
does not change when values are moved about, so it finds the few candidates that are worth comparing
completely.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

import numpy as np

from export.building.tensors import Derivation, Floats, Tensors
from export.errors import ExportError

_Print = tuple[int, int]

# Gemma's norms multiply by 1 + weight, which is folded into one constant. A GGUF stores that 1 + weight,
# transformers subtracts the 1 again, and rounding does not always restore the same number.
_SUMS: Final = ((), (1.0,), (-1.0, 1.0))


def match_weights(
    weights: Mapping[str, Floats],
    files: Mapping[str, Tensors],
    heads: Sequence[int],
    label_ids: Sequence[int],
) -> dict[str, Derivation]:
    """Find the source of each of `weights`; `heads` are the head counts a rope permutation may have.

    Raises ExportError: a weight is not in the model's files, so no recipe could rebuild it.
    """
    wanted: dict[_Print, list[str]] = defaultdict(list)
    for name, weight in weights.items():
        wanted[_fingerprint(weight)].append(name)
    found: dict[str, Derivation] = {}
    for file, tensors in files.items():
        for tensor_name, tensor in tensors.items():
            for name in wanted.get(_fingerprint(tensor), []):
                whole = (
                    Derivation(file, tensor_name, unrope=n, transpose=t)
                    for n, t in product((0, *heads), (False, True))
                )
                _try(found, name, weights[name], tensor, whole)
            for terms in _SUMS if tensor.ndim == 1 else ():
                summed = Derivation(file, tensor_name, add=terms)
                for name in wanted.get(_fingerprint(summed.apply(tensor)), []):
                    _try(found, name, weights[name], tensor, iter((summed,)))
            rows = [
                name
                for name in weights
                if name not in found and _may_be_rows(weights[name], tensor, label_ids)
            ]
            for name in rows:
                some = (
                    Derivation(file, tensor_name, rows=tuple(label_ids), transpose=t) for t in (False, True)
                )
                _try(found, name, weights[name], tensor, some)
    missing = [name for name in weights if name not in found]
    if missing:
        raise ExportError(
            f"{len(missing)} weights of the graph are not in the model's files (first: {missing[0]}): "
            "the model was changed while it was loaded, and no recipe could rebuild it"
        )
    return {name: found[name] for name in weights}


def _try(
    found: dict[str, Derivation], name: str, weight: Floats, tensor: Floats, derivations: Iterator[Derivation]
) -> None:
    for derivation in derivations:
        if name in found or (derivation.unrope and not _has_pairs(tensor, derivation.unrope)):
            continue
        made = derivation.apply(tensor)
        # Bits are compared and not values, because a recipe promises the same bytes, and 0.0 == -0.0.
        if made.shape == weight.shape and np.array_equal(made.view(np.uint32), _bits(weight)):
            found[name] = derivation


def _fingerprint(array: Floats) -> _Print:
    return array.size, int(_bits(array).sum(dtype=np.uint64))


def _bits(array: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    return np.ascontiguousarray(array).view(np.uint32)


def _has_pairs(tensor: Floats, heads: int) -> bool:
    return tensor.ndim == 2 and tensor.shape[0] % (2 * heads) == 0  # noqa: PLR2004 - a matrix; pairs


def _may_be_rows(weight: Floats, tensor: Floats, rows: Sequence[int]) -> bool:
    if tensor.ndim != 2 or tensor.shape[0] <= max(rows):  # noqa: PLR2004 - a matrix
        return False
    return weight.shape in {(len(rows), tensor.shape[1]), (tensor.shape[1], len(rows))}
