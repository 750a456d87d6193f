"""Converts an fp32 bundle to fp16 for GPUs, because ONNX Runtime runs a graph in the precision it stores.

What half precision cannot hold stays in fp32: norms square their input, rotary angles grow with positions
that fp16 cannot count, the pooled mean sums over a message, and the hidden states of some models are too
large (`half_range.py`). The conversion is onnxruntime's own. Its result must prove itself as every bundle
must: here on the CPU, and again on the GPU when a worker starts.
"""

import shutil
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final, TypeGuard

import msgspec
import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from engine.bundle import MODEL, WEIGHTS, Bundle, write_manifest
from engine.devices.choice import Choice
from export.building.layout import read_weights, write_model
from export.building.staging import require_room, staged
from export.errors import ExportError
from export.exporting.half_range import too_large
from export.exporting.parity import check_parity

_READ: Final = ["label_logits", "pooled"]  # the outputs that leave the device; keys and values stay on it
_IN_FP32: Final = ("norm", "rotary")  # parts of the names of the modules that stay in fp32


def halve(bundle: Bundle, out: Path) -> Bundle:
    """Write the full `bundle` in fp16 into the folder `out`, which must not exist.

    Raises ExportError: it is fp16 or adapted already, `out` exists, or the scores no longer match the
    original model's.
    """
    if out.exists():
        raise ExportError(f"{out} exists already: remove it or choose another folder")
    require_room(out)
    if bundle.manifest.precision != "fp32" or not bundle.manifest.bound:
        raise ExportError(
            f"{bundle.path} stores {bundle.manifest.precision}, its prefix {bundle.manifest.prefix}: "
            "only an fp32 bundle with a bound prefix can be halved"
        )
    if bundle.calibration is not None:
        raise ExportError(
            f"{bundle.path} is adapted, and its thresholds do not hold for scores in fp16: halve the full "
            "bundle that it was made from, then adapt that with --device cuda"
        )
    if bundle.manifest.form != "joined":
        raise ExportError(
            f"{bundle.path} merges its parts by sums that fp16 cannot hold: export it with --form joined"
        )
    model = onnx.shape_inference.infer_shapes(onnx.load(bundle.path / MODEL, load_external_data=False))
    read_weights(model, bundle.path)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    large = too_large(bundle, model)
    stays = [node.name for node in model.graph.node if _needs_fp32(node) or node.name in large]
    half = convert_float_to_float16(
        model,
        keep_io_types=[value.name for value in model.graph.output if value.name in _READ],
        disable_shape_infer=True,  # done above without the weights, because it is limited to 2 GB
        node_block_list=stays,
    )
    _without_detours(half.graph)
    _sort(half.graph)
    with staged(out) as folder:
        for name in bundle.manifest.files.keys() - {MODEL, WEIGHTS}:
            shutil.copyfile(bundle.path / name, folder / name)
        write_model(half, folder)
        manifest = msgspec.structs.replace(bundle.manifest, precision="fp16")
        written = msgspec.structs.replace(bundle, path=folder, manifest=manifest)
        parity = check_parity(written, [Choice("cpu", "fp16")])
        write_manifest(folder, msgspec.structs.replace(manifest, parity=bundle.manifest.parity | parity))
    return Bundle.load(out)


def _without_detours(graph: onnx.GraphProto) -> None:
    """Pass fp32 directly between neighbours that stay in fp32; the conversion casts to fp16 in between.

    The conversion also casts a value once for each node that reads it, under the same names. Only the first
    cast is kept, and none that nobody reads any more.
    """
    maker = {name: node for node in reversed(graph.node) for name in node.output}
    for node in graph.node:
        for place, name in enumerate(node.input):
            back = maker.get(name)
            there = maker.get(back.input[0]) if _casts(back, onnx.TensorProto.FLOAT) else None
            if _casts(there, onnx.TensorProto.FLOAT16):
                node.input[place] = there.input[0]
    kept = [node for node in graph.node if maker[node.output[0]] is node]
    while True:
        read = {name for node in kept for name in node.input} | {value.name for value in graph.output}
        before, kept = len(kept), [node for node in kept if read.intersection(node.output)]
        if len(kept) == before:
            break
    del graph.node[:]
    graph.node.extend(kept)


def _sort(graph: onnx.GraphProto) -> None:
    """Put every node behind those that it reads: the conversion adds its casts at the end.

    Runtimes do not mind. ONNX requires it, and its checker refuses what is cut from such a graph.
    """
    maker = {name: place for place, node in enumerate(graph.node) for name in node.output}
    needs = {
        place: [maker[name] for name in node.input if name in maker] for place, node in enumerate(graph.node)
    }
    nodes = [graph.node[place] for place in TopologicalSorter(needs).static_order()]
    del graph.node[:]
    graph.node.extend(nodes)


def _casts(node: onnx.NodeProto | None, kind: int) -> TypeGuard[onnx.NodeProto]:
    return node is not None and node.op_type == "Cast" and node.attribute[0].i == kind


def _needs_fp32(node: onnx.NodeProto) -> bool:
    inside = any(part in node.name for part in _IN_FP32)
    # The nodes outside of any module compute the label rows and the means over a message's tokens.
    return inside or node.name.count("/") == 1
