"""Reads heads.npz, the linear heads on the pooled vector, and those of a cascade's shallow reading."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.bundle.archive import ArchiveError, read_arrays
from engine.bundle.manifest import Manifest
from engine.errors import BundleError

HEADS: Final = "heads.npz"
SHALLOW_HEADS: Final = "shallow-heads.npz"


class Heads(msgspec.Struct, frozen=True):
    """heads.npz: the pooled vector is standardised, then two linear heads follow. H hidden size, S levels."""

    mean: NDArray[np.float32]  # [H]
    scale: NDArray[np.float32]  # [H]
    risk_weight: NDArray[np.float32]  # [H]
    risk_bias: NDArray[np.float32]  # []
    severity_weight: NDArray[np.float32]  # [S, H]
    severity_bias: NDArray[np.float32]  # [S]


def read_heads(path: Path, manifest: Manifest, name: str = HEADS) -> Heads:
    """Read the heads in the file `name`.

    Raises BundleError: its arrays do not match the manifest, or are not finite.
    """
    hidden, levels = manifest.source.hidden_size, len(manifest.task.severity.levels)
    shapes = {
        "mean": (hidden,),
        "scale": (hidden,),
        "risk_weight": (hidden,),
        "risk_bias": (),
        "severity_weight": (levels, hidden),
        "severity_bias": (levels,),
    }
    try:
        arrays = read_arrays(path / name, (), optional=shapes)
    except (ArchiveError, OSError):  # not an archive, or one that holds pickled objects
        raise BundleError(
            f"{path / name} is not an archive of number arrays: run `mimamori adapt` again"
        ) from None
    for array, shape in shapes.items():
        if array not in arrays or arrays[array].shape != shape:
            raise BundleError(f"{path / name}: {array} must have shape {shape}: run `mimamori adapt` again")
    if not all(np.isfinite(array).all() for array in arrays.values()) or not (arrays["scale"] > 0).all():
        raise BundleError(f"{path / name} holds numbers that no fit gives: run `mimamori adapt` again")
    return Heads(**{name: array.astype(np.float32) for name, array in arrays.items()})
