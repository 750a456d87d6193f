"""Gives OpenVINO its weights in bf16 in a file of their own, so that a process holds them once and not twice.

A bundle stores fp32. From that, OpenVINO makes a copy in bf16 when it compiles a graph, and from that copy
another when it first runs it, in the layout that its products read. It keeps both. So the weights are rounded
here, once, into an unnamed temporary file that is mapped. OpenVINO packs straight from the mapping, whose
pages the kernel can drop. The scores are the same bit for bit, because OpenVINO rounds as this module does.
"""

import mmap
import tempfile
from typing import Any, Final, Self

import numpy as np
import structlog
from numpy.typing import NDArray

try:
    import openvino as ov
    from openvino import opset13 as ops
except ImportError:  # see openvino.py
    ov = ops = None

log = structlog.get_logger()

# OpenVINO's own mark of a conversion that it must not compute when it compiles: weights are stored so.
_DECOMPRESSION: Final = "decompression_0"
_ALIGNED: Final = 64  # bytes


class Bf16Weights:
    """The weight matrices of a graph in bf16, in an unnamed file that lives as long as this object."""

    def __init__(self, mapped: mmap.mmap) -> None:
        """Keep `mapped`, on whose memory the constants of the graph lie."""
        self._mapped = mapped

    @classmethod
    def of(cls, model: Any) -> Self | None:
        """Round the fp32 matrices that `model` multiplies with, and let the model read them from the file.

        None: there is no room for the file. The model is then left as it is, and will take more memory.
        """
        products = [node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]
        weights = {
            weight.get_friendly_name(): weight
            for node in products
            if _is_matrix(weight := node.input_value(1).get_node())
        }
        if not weights:
            return None
        try:
            mapped, places = _written(weights)
        except OSError as error:
            log.warning(
                "more_memory",
                why=f"no temporary file for weights in bf16: {error.strerror}",
                action="give the temporary folder (TMPDIR) room for two bytes a weight",
            )
            return None
        content = np.frombuffer(mapped, np.uint16)
        converted = {}
        for name, start in places.items():
            shape = weights[name].get_output_shape(0)
            values = content[start : start + shape[0] * shape[1]].reshape(shape)
            stored = ops.constant(ov.Tensor(values, shape, ov.Type.bf16), shared_memory=True)
            converted[name] = ops.convert(stored, "f32")
            converted[name].get_rt_info()[_DECOMPRESSION] = True
        for node in products:
            if (name := node.input_value(1).get_node().get_friendly_name()) in converted:
                node.input(1).replace_source_output(converted[name].output(0))
        return cls(mapped)

    def release(self) -> None:
        """Drop the file's pages from this process's memory. One that is read again comes from the file."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)


def _is_matrix(weight: Any) -> bool:
    if weight.get_type_name() != "Constant" or weight.get_element_type() != ov.Type.f32:
        return False
    # What is not finite stays in fp32, since rounding could make a number of it.
    return len(weight.get_output_shape(0)) == 2 and bool(np.isfinite(weight.data).all())  # noqa: PLR2004 - a matrix


def _written(weights: dict[str, Any]) -> tuple[mmap.mmap, dict[str, int]]:
    """Write `weights` one after the other. Return the mapped file and where each begins, in numbers."""
    places: dict[str, int] = {}
    with tempfile.TemporaryFile() as file:
        for name, weight in weights.items():
            file.write(b"\0" * (-file.tell() % _ALIGNED))
            places[name] = file.tell() // 2
            file.write(rounded(weight.data).data)
        file.flush()
        # OpenVINO takes only memory that could be written to. A write would not reach the file.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), places


def rounded(weight: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round finite numbers to the nearest in bf16 (of two as near, to the even one); return their bits."""
    bits = np.ascontiguousarray(weight).view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return ((bits + half) >> np.uint32(16)).astype(np.uint16)
