"""Which device and precision to run, from what is asked and what this machine can do. Fails closed.

    device     precision "auto"          also                 needs
    cpu        as stored                                      the cpu or gpu extra
    openvino   bf16, where the CPU has   fp32, fp16*, int8*   the cpu extra  * where the CPU has it
    cuda       as stored                                      the gpu extra, a GPU
    auto       openvino where the CPU has bf16, else cpu

Thresholds hold only for scores in the precision that they were fitted on. So "auto" is first of all that one,
wherever the device has it: a bundle adapted in int8 runs in int8, and one adapted in fp32 in fp32.

ONNX Runtime runs a graph in the precision it is stored in: fp32, or fp16 once `mimamori bundle halve` has
made it so, for GPUs. On a CPU such a bundle is stored in fp16 and computed in fp32: a check, and slow.
OpenVINO rounds by itself, from fp32.
"""

from typing import NamedTuple

from engine.devices import onnxruntime as onnxruntime_device
from engine.devices import openvino as openvino_device
from engine.errors import DeviceError
from engine.vocabulary import DeviceChoice, DeviceName, Precision, PrecisionChoice


class Choice(NamedTuple):
    """What will be asked of a device library."""

    device: DeviceName
    precision: Precision


def choose(
    device: DeviceChoice, precision: PrecisionChoice, stored: Precision = "fp32", fitted: str | None = None
) -> Choice:
    """Resolve `auto` for a bundle that is `stored` so, its thresholds `fitted` on scores in that precision.

    Raises DeviceError: the wish cannot be had.
    """
    if stored != "fp32" and device in {"auto", "openvino"}:
        raise DeviceError(
            f"the bundle stores {stored}, which is for GPUs: set device=cuda, or take the fp32 bundle it was "
            "made of"
        )
    if device == "auto":
        reasons = {"bf16", fitted} - {"fp32"}  # in fp32 both are as fast, and the CPU's own is plainer
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
    default: Precision = next((each for each in able if each == fitted), "bf16")
    wanted = default if precision == "auto" else precision
    if wanted not in able:
        raise DeviceError(
            f"this CPU has no {wanted}, OpenVINO can run {', '.join(able)} here: "
            "set precision=fp32, or device=cpu"
        )
    return Choice("openvino", wanted)
