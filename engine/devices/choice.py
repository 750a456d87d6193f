"""Chooses device and precision from the request and from what this machine can do, or refuses the request.

    device     precision "auto"          also                 needs
    cpu        as stored                                      the cpu or gpu extra
    openvino   bf16, or fp32 where the   fp32, fp16*, int8*   the cpu extra  * where the CPU has it
               CPU is quicker in that    bf16*
    cuda       as stored                                      the gpu extra, a GPU
    auto       openvino where the CPU has bf16 and is quicker in it than in fp32, else cpu

Thresholds hold only for scores in the precision that they were fitted on. So "auto" means that precision
wherever the device has it, before what the table says: a bundle adapted in int8 runs in int8, and one adapted
in fp32 runs in fp32.

ONNX Runtime runs a graph in the precision that it is stored in: fp32, or fp16 after `mimamori bundle halve`,
which is meant for GPUs. On a CPU, an fp16 bundle is computed in fp32, which is slow and serves only as a
check. OpenVINO takes an fp32 graph and rounds it itself.
"""

from typing import NamedTuple

from engine.device_names import DeviceChoice, DeviceName, Precision, PrecisionChoice
from engine.devices import onnxruntime as onnxruntime_device
from engine.devices import openvino as openvino_device
from engine.devices import processor
from engine.errors import DeviceError


class Choice(NamedTuple):
    """The device and precision that a device library is asked to run."""

    device: DeviceName
    precision: Precision


def choose(
    device: DeviceChoice, precision: PrecisionChoice, stored: Precision = "fp32", fitted: str | None = None
) -> Choice:
    """Resolve `auto` for a bundle.

    `stored` is the precision of its graph, `fitted` that of the scores its thresholds were fitted on.

    Raises DeviceError: this machine or this bundle cannot run what was asked.
    """
    if stored != "fp32" and device in {"auto", "openvino"}:
        raise DeviceError(
            f"the bundle stores {stored}, which is for GPUs: set device=cuda, or take the fp32 bundle it was "
            "made of"
        )
    if device == "auto":
        # In fp32 both devices are about as fast, so the simpler one, cpu, is preferred.
        reasons = {precision, fitted, "bf16" if _prefers_bf16() else None} - {"fp32"}
        device = "openvino" if reasons.intersection(openvino_device.precisions()) else "cpu"
    if device == "openvino":
        return _openvino(precision, fitted)
    if device not in onnxruntime_device.devices():
        raise DeviceError(
            f"device {device} is not available: it needs the extra {'gpu' if device == 'cuda' else 'cpu'}"
            f"{' and an NVIDIA GPU' if device == 'cuda' else ''}; or set device=auto"
        )
    if precision not in {"auto", stored}:
        other = "take a bundle made by `mimamori bundle halve`" if precision == "fp16" else "device=openvino"
        raise DeviceError(
            f"device {device} runs {stored} only, as this bundle stores: set precision={stored}, or {other}"
        )
    return Choice(device, stored)


def _openvino(precision: PrecisionChoice, fitted: str | None) -> Choice:
    able = openvino_device.precisions()
    if not able:
        raise DeviceError("device openvino is not available: install the extra cpu, or set device=cpu")
    # A CPU without bf16 is asked for it all the same, and refused: whoever names this device expects it.
    quickest: Precision = "bf16" if _prefers_bf16() or "bf16" not in able else "fp32"
    default = next((each for each in able if each == fitted), quickest)
    wanted = default if precision == "auto" else precision
    if wanted not in able:
        raise DeviceError(
            f"this CPU has no {wanted}, OpenVINO can run {', '.join(able)} here: "
            "set precision=fp32, or device=cpu"
        )
    return Choice("openvino", wanted)


def _prefers_bf16() -> bool:
    return processor.this_processor().is_quick_in_bf16
