from typing import get_args

import pytest

from engine.device_names import DeviceChoice, Precision, PrecisionChoice
from engine.devices import openvino as openvino_device
from engine.devices import processor
from engine.devices.choice import choose
from engine.errors import DeviceError

PLAIN: list[Precision] = ["fp32"]
WITH_BF16: list[Precision] = ["fp32", "bf16"]
WITH_INT8: list[Precision] = ["fp32", "bf16", "int8"]


AMD = "vendor_id : AuthenticAMD\nflags : fpu avx512f avx512_bf16\n"
TILES = "vendor_id : GenuineIntel\nflags : fpu avx512f avx512_bf16 amx_bf16 amx_tile\n"
TILES_HIDDEN = "vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512f avx512_bf16 avx512_fp16\n"


def _cpu_has(monkeypatch: pytest.MonkeyPatch, precisions: list[Precision], cpuinfo: str = AMD) -> None:
    monkeypatch.setattr(openvino_device, "precisions", lambda: precisions)
    monkeypatch.setattr(processor, "this_processor", lambda: processor.parse(cpuinfo))


@pytest.mark.parametrize(
    ("able", "asked", "chosen"),
    [
        (WITH_BF16, ("auto", "auto"), ("openvino", "bf16")),
        (WITH_BF16, ("auto", "fp32"), ("openvino", "fp32")),
        (WITH_BF16, ("openvino", "auto"), ("openvino", "bf16")),
        (WITH_BF16, ("cpu", "auto"), ("cpu", "fp32")),
        (PLAIN, ("auto", "auto"), ("cpu", "fp32")),
        (PLAIN, ("openvino", "fp32"), ("openvino", "fp32")),
        ([], ("auto", "auto"), ("cpu", "fp32")),
    ],
)
def test_what_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    able: list[Precision],
    asked: tuple[DeviceChoice, PrecisionChoice],
    chosen: tuple[str, str],
) -> None:
    _cpu_has(monkeypatch, able)
    assert choose(*asked) == chosen


@pytest.mark.parametrize("cpuinfo", [AMD, TILES, "", "processor : 0\nFeatures : asimd bf16\n"])
def test_bf16_is_chosen_where_it_is_quick(monkeypatch: pytest.MonkeyPatch, cpuinfo: str) -> None:
    _cpu_has(monkeypatch, WITH_BF16, cpuinfo)
    assert choose("auto", "auto") == ("openvino", "bf16")


@pytest.mark.parametrize(
    ("asked", "fitted", "chosen"),
    [
        (("auto", "auto"), None, ("cpu", "fp32")),
        (("openvino", "auto"), None, ("openvino", "fp32")),
        (("auto", "auto"), "fp32", ("cpu", "fp32")),
        (("auto", "auto"), "bf16", ("openvino", "bf16")),  # thresholds hold in no other
        (("openvino", "bf16"), None, ("openvino", "bf16")),
        (("auto", "bf16"), None, ("openvino", "bf16")),
        (("auto", "int8"), "fp32", ("openvino", "int8")),
        (("auto", "fp32"), "bf16", ("openvino", "fp32")),
        (("auto", "auto"), "int8", ("openvino", "int8")),
    ],
)
def test_a_cpu_that_is_slower_in_bf16_runs_it_only_where_it_is_meant(
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[DeviceChoice, PrecisionChoice],
    fitted: str | None,
    chosen: tuple[str, str],
) -> None:
    _cpu_has(monkeypatch, WITH_INT8, TILES_HIDDEN)
    assert choose(*asked, fitted=fitted) == chosen


@pytest.mark.parametrize(
    ("able", "asked", "fitted", "chosen"),
    [
        (WITH_BF16, ("auto", "auto"), "fp32", ("openvino", "fp32")),
        (WITH_BF16, ("auto", "auto"), "bf16", ("openvino", "bf16")),
        (WITH_BF16, ("auto", "fp32"), "bf16", ("openvino", "fp32")),  # asked for: the thresholds then refuse
        (WITH_BF16, ("auto", "auto"), "int8", ("openvino", "bf16")),
        (WITH_INT8, ("auto", "auto"), "int8", ("openvino", "int8")),
        (WITH_INT8, ("cpu", "auto"), "int8", ("cpu", "fp32")),
        (PLAIN, ("auto", "auto"), "fp32", ("cpu", "fp32")),
        (PLAIN, ("auto", "auto"), "bf16", ("cpu", "fp32")),
        (PLAIN, ("openvino", "auto"), "fp32", ("openvino", "fp32")),
        (["fp32", "fp16"], ("auto", "auto"), "fp16", ("openvino", "fp16")),
    ],
)
def test_auto_is_what_the_thresholds_were_fitted_on_where_it_runs(
    monkeypatch: pytest.MonkeyPatch,
    able: list[Precision],
    asked: tuple[DeviceChoice, PrecisionChoice],
    fitted: str,
    chosen: tuple[str, str],
) -> None:
    _cpu_has(monkeypatch, able)
    assert choose(*asked, fitted=fitted) == chosen


@pytest.mark.parametrize(
    ("able", "asked", "advice"),
    [
        (PLAIN, ("openvino", "bf16"), "no bf16.*set precision=fp32"),
        (PLAIN, ("openvino", "auto"), "no bf16.*set precision=fp32"),  # asked for bf16 by default
        (PLAIN, ("auto", "bf16"), "fp32 only"),
        (PLAIN, ("cpu", "bf16"), "fp32 only"),
        (WITH_BF16, ("openvino", "fp16"), "no fp16"),
        (WITH_BF16, ("openvino", "int8"), "no int8"),
        (WITH_BF16, ("cpu", "int8"), "fp32 only"),
        ([], ("openvino", "fp32"), "install the extra cpu"),
    ],
)
def test_what_cannot_be_had_is_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch,
    able: list[Precision],
    asked: tuple[DeviceChoice, PrecisionChoice],
    advice: str,
) -> None:
    _cpu_has(monkeypatch, able)
    with pytest.raises(DeviceError, match=advice):
        choose(*asked)


@pytest.mark.parametrize("precision", get_args(PrecisionChoice))
def test_cuda_without_a_gpu_build_never_becomes_the_cpu(
    monkeypatch: pytest.MonkeyPatch, precision: PrecisionChoice
) -> None:
    monkeypatch.setattr("engine.devices.onnxruntime.devices", lambda: ["cpu"])
    with pytest.raises(DeviceError, match="extra gpu and an NVIDIA GPU"):
        choose("cuda", precision)
