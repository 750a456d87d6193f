"""Decides where a bundle's weights are: small tensors in model.onnx, large ones in model.onnx.data.

Weights have the order of the graph, each starts on a page, and gaps are filled with zeros. So the same graph
and the same weights always give the same two files.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, numpy_helper

from engine.bundle import MODEL, weights_of

# Runtimes map the file into memory page by page.
PAGE: Final = 4096
# Smaller tensors (norms of small models, constants) are not worth a page and a line in the recipe.
INLINE_BELOW: Final = 4096


def write_model(model: onnx.ModelProto, folder: Path, name: str = MODEL) -> dict[str, NDArray[np.float32]]:
    """Write both files of the graph `name`, and move the large tensors out of `model`.

    Returns the large tensors by name, in the order in which they were written.
    """
    weights: dict[str, NDArray[np.float32]] = {}
    offset = 0
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.nbytes < INLINE_BELOW:
            continue
        weights[tensor.name] = array
        external_data_helper.set_external_data(tensor, weights_of(name), offset, array.nbytes)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        offset += _padded(array.nbytes)
    (folder / name).write_bytes(model.SerializeToString(deterministic=True))
    write_weights(weights.values(), folder, name)
    return weights


def write_weights(weights: Iterable[NDArray[np.float32]], folder: Path, name: str = MODEL) -> None:
    """Write the weights file of the graph `name`, one weight at a time."""
    with (folder / weights_of(name)).open("wb") as file:
        for array in weights:
            file.write(np.ascontiguousarray(array).data)
            file.write(bytes(_padded(array.nbytes) - array.nbytes))


def _padded(size: int) -> int:
    return -(-size // PAGE) * PAGE
