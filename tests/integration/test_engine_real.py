"""The engine on SmolLM2-135M, built from the shipped recipe: what random weights cannot show."""

import functools
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.bundle import Bundle
from engine.contract import Engine
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.devices.openvino import precisions
from engine.devices.stacked import StackedDevice
from engine.load import load_engine, open_reader
from engine.proof import prove
from engine.task import load_task
from export.adapting.split import split_bundle
from export.exporting.half import halve

TASK = load_task("stress")
TEXTS = [
    "ok",
    "I have not slept for three nights and the deadline is tomorrow, I just can't any more",
    "lol that movie was killer",
    "明日までに終わらない。もう無理",
    "see you at 8? bring the " + "very " * 40 + "big tent",
    "gm",
]


@pytest.fixture(scope="module")
def full(full_bundle: Bundle) -> Bundle:
    return full_bundle


@pytest.fixture(scope="module")
def adapted(stress_bundle: Path) -> Bundle:
    return Bundle.load(stress_bundle)


@pytest.fixture(scope="module")
def opened(full: Bundle, adapted: Bundle) -> Callable[..., Engine]:
    """An engine of a reading, on a device in a precision: each is opened and proven once, for seconds."""

    @functools.cache
    def load(reading: str, device: DeviceChoice, precision: PrecisionChoice) -> Engine:
        return load_engine(full if reading == "prompted" else adapted, device=device, precision=precision)

    return load


@pytest.mark.parametrize("device", ["cpu", "openvino"])
@pytest.mark.parametrize("reading", ["prompted", "pooled"])
def test_a_batch_reads_like_each_message_alone(
    opened: Callable[..., Engine], device: str, reading: str
) -> None:
    engine = opened(reading, device, "fp32")
    together = [scores.risk for scores in engine.read(TEXTS)]
    assert together == pytest.approx([engine.read([text])[0].risk for text in TEXTS], abs=1e-4)


def test_a_disguised_message_is_not_cleared(opened: Callable[..., Engine], adapted: Bundle) -> None:
    engine = opened("pooled", "auto", "auto")
    plain = TEXTS[1]
    disguised = ["\x00".join(plain), "\u202e" + plain[::-1] + "\u202c"]
    (alone,) = engine.read([plain])
    assert alone.risk > adapted.thresholds_for(engine.identity).lower
    for scores in engine.read(disguised):
        assert scores.risk > alone.risk - 0.05  # bf16 rounds a batch otherwise than a single row
        assert scores.windows > alone.windows  # read twice


@pytest.mark.skipif("int8" not in precisions(), reason="this CPU has no bf16 and int8")
@pytest.mark.parametrize("reading", ["prompted", "pooled"])
def test_int8_passes_the_gate_and_keeps_neighbours_apart(opened: Callable[..., Engine], reading: str) -> None:
    """`load_engine` proves it; here what the proof does not see: other texts, and risks instead of logits."""
    engine = opened(reading, "openvino", "int8")
    assert engine.precision == "int8"
    # One of the two is set beside bf16, for which it could be mistaken; the other beside what is exact.
    plain = opened(reading, "openvino", "bf16" if reading == "pooled" else "fp32")
    together = [scores.risk for scores in engine.read(TEXTS)]
    assert together == pytest.approx([engine.read([text])[0].risk for text in TEXTS], abs=0.02)
    assert together == pytest.approx([scores.risk for scores in plain.read(TEXTS)], abs=0.1)
    assert together != [scores.risk for scores in plain.read(TEXTS)]  # it is not the other under another name


def test_fp16_holds_what_a_real_model_needs(full: Bundle, tmp_path: Path) -> None:
    """Its residual stream reaches 25,000, whose square fp16 cannot hold: norms must stay in fp32."""
    half = halve(full, tmp_path / "half")
    assert half.manifest.parity["cpu fp16"]["label_logits_below"] <= 0.1


def test_devices_agree_on_every_layer(full: Bundle) -> None:
    one = open_reader(full, "pooled", device="cpu")
    other = open_reader(full, "pooled", device="openvino", precision="fp32")
    rows = one.tokenise(TEXTS)
    first, second = one.rows(rows), other.rows(rows)
    assert first.shape == (len(TEXTS), 30, 576)
    spread = first.std(axis=(0, 2), keepdims=True)
    assert np.abs(first - second).max() < 1e-2 * spread.max()


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_a_cascade_goes_on_as_if_it_had_read_at_once(full: Bundle, tmp_path: Path, device: str) -> None:
    """The proof holds both depths against the original model's vectors, alone and in company."""
    split = split_bundle(full, 1, 16, tmp_path)
    precision = "bf16" if device == "openvino" and "bf16" in precisions() else "fp32"
    reader = open_reader(split, "pooled", device=device, precision=precision)  # type: ignore[arg-type] # literals above
    found = prove(reader, split, "pooled")
    assert isinstance(reader.device, StackedDevice)
    shallow = msgspec.structs.replace(
        split,
        manifest=msgspec.structs.replace(split.manifest, layer=1, shallow=None),
        reference=full.reference.at_layer(1),
    )
    first = prove(reader.on(reader.device.shallow), shallow, "pooled")
    assert 0 < first.original < found.original
    sizes = [(tmp_path / f"{name}.data").stat().st_size for name in ("model.onnx", "deeper.onnx")]
    assert sum(sizes) < 350e6  # no weight is in both
