"""An fp16 bundle, on the CPU; docs/benchmarks/gpu.md says what a GPU made of it."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from engine.bundle import MODEL, WEIGHTS, Bundle
from engine.errors import DeviceError
from engine.load import load_engine, open_reader
from export.adapting.adapt import adapt
from export.errors import ExportError
from export.examples import LabelledExample
from export.exporting.half import halve
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle

TEXTS = ["ok", "I can't sleep, and work never ends", "?" * 90]
EXAMPLES = [
    LabelledExample(text=word * n, at_risk=at_risk, severity=TASK.level_names[n % 3] if at_risk else None)
    for n in range(1, 9)
    for word, at_risk in (("zq", True), ("ab", False))
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "full")


@pytest.mark.parametrize("reading", ["prompted", "pooled"])
def test_it_weighs_half_and_answers_the_same(full: Bundle, tmp_path: Path, reading: str) -> None:
    bundle, half = full, halve(full, tmp_path / "half")
    if reading == "pooled":
        bundle, half = (_adapted(each, tmp_path / f"adapted {each.path.name}") for each in (bundle, half))
    assert half.manifest.precision == "fp16"
    assert "cpu fp16" in half.manifest.parity
    assert half.fingerprint != bundle.fingerprint
    whole, halved = (
        sum((each.path / name).stat().st_size for name in (MODEL, WEIGHTS)) for each in (bundle, half)
    )
    assert halved < whole
    graph = onnx.load(half.path / MODEL).graph
    kinds = {value.type.tensor_type.elem_type for value in graph.input if value.name.startswith("past")}
    assert kinds == {onnx.TensorProto.FLOAT16}
    engine = load_engine(half, device="cpu")
    assert engine.precision == "fp16"
    assert half.thresholds_for(engine.identity).lower == pytest.approx(
        bundle.thresholds_for(load_engine(bundle, device="cpu").identity).lower, abs=0.02
    )
    expected = [scores.risk for scores in load_engine(bundle, device="cpu").read(TEXTS)]
    assert [scores.risk for scores in engine.read(TEXTS)] == pytest.approx(expected, abs=0.02)


def _adapted(bundle: Bundle, out: Path) -> Bundle:
    adapt(bundle.path, EXAMPLES, out, lambda *_: None, device="cpu")
    return Bundle.load(out)


def test_an_adapted_bundle_is_halved_before_and_not_after(full: Bundle, tmp_path: Path) -> None:
    """Its thresholds were fitted on scores in fp32: no worker would start with them."""
    adapted = _adapted(full, tmp_path / "adapted")
    with pytest.raises(ExportError, match=r"halve the full bundle .* then adapt that with --device cuda"):
        halve(adapted, tmp_path / "half")
    assert not (tmp_path / "half").exists()


def test_devices_that_round_by_themselves_refuse_it(full: Bundle, tmp_path: Path) -> None:
    half = halve(full, tmp_path / "half")
    for device in ("auto", "openvino"):
        with pytest.raises(DeviceError, match="stores fp16, which is for GPUs"):
            open_reader(half, "pooled", device=device)
    with pytest.raises(DeviceError, match="runs fp16 only"):
        open_reader(half, "pooled", device="cpu", precision="fp32")


def test_half_of_a_half_is_refused(full: Bundle, tmp_path: Path) -> None:
    half = halve(full, tmp_path / "half")
    with pytest.raises(ExportError, match="only an fp32 bundle"):
        halve(half, tmp_path / "quarter")
    with pytest.raises(ExportError, match="exists already"):
        halve(full, tmp_path / "half")


def test_merged_parts_are_refused(full: Bundle, tmp_path: Path) -> None:
    merged = msgspec.structs.replace(full, manifest=msgspec.structs.replace(full.manifest, form="merged"))
    with pytest.raises(ExportError, match="--form joined"):
        halve(merged, tmp_path / "half")


def test_one_that_is_not_the_original_leaves_nothing_behind(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "large")
    model = onnx.load(bundle.path / MODEL)
    for weight in model.graph.initializer:
        array = onnx.numpy_helper.to_array(weight)
        if array.dtype == np.float32 and array.ndim == 2:
            weight.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(3e4), weight.name))
    onnx.save(model, bundle.path / MODEL)
    with pytest.raises(ExportError, match="fails its gate"):
        halve(bundle, tmp_path / "half")
    assert [path.name for path in tmp_path.iterdir()] == ["large"]


def test_what_stays_in_fp32_leaves_a_graph_that_can_be_cut(tmp_path: Path) -> None:
    """Of real graphs the norms stay in fp32; casts at their sides must stand where ONNX wants them."""
    bundle = write_tiny_bundle(tmp_path / "norms")
    model = onnx.load(bundle.path / MODEL)
    for number, node in enumerate(model.graph.node):
        node.name = f"/model/{'norm' if node.op_type in {'Add', 'Relu', 'Softmax'} else 'layer'}/{number}"
    onnx.save(model, bundle.path / MODEL)
    half = halve(bundle, tmp_path / "half")
    graph = onnx.load(half.path / MODEL).graph
    assert {node.op_type for node in graph.node if "norm" in node.name} >= {"Add", "Softmax"}
    onnx.checker.check_model(half.path / MODEL)
    assert _adapted(half, tmp_path / "adapted").manifest.precision == "fp16"
