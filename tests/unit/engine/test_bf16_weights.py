"""Weights in bf16 lie in a file of their own: the same results, and one copy of them in the process."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from openvino import opset13 as ops
from structlog.testing import capture_logs

from engine.devices.bf16_weights import Bf16Weights, rounded
from engine.devices.openvino import precisions

WIDTH = 96

needs_bf16 = pytest.mark.skipif("bf16" not in precisions(), reason="this CPU has no bf16")


def model_of(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> Any:
    """Two products with weights, a table that rows are taken from, and a product without weights."""
    rows = ops.parameter([-1], np.int64, name="rows")
    table = ops.constant(np.linspace(-1, 1, 50 * WIDTH, dtype=np.float32).reshape(50, WIDTH))
    states = ops.gather(table, rows, ops.constant(np.int64(0)))
    one = ops.matmul(states, ops.constant(first), transpose_a=False, transpose_b=False)
    two = ops.matmul(one, ops.constant(second), transpose_a=False, transpose_b=True)
    scores = ops.matmul(two, states, transpose_a=False, transpose_b=True)
    return ov.Model([ops.result(scores)], [rows], "products")


def compiled(model: Any) -> Any:
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})


def answer(model: Any) -> np.ndarray[Any, Any]:
    result: np.ndarray[Any, Any] = compiled(model)([np.arange(0, 50, 3)])[0]
    return result


@pytest.fixture
def weights() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    random = np.random.default_rng(7)
    return tuple(random.standard_normal((WIDTH, WIDTH)).astype(np.float32) for _ in "ab")  # type: ignore[return-value] # two


@needs_bf16
def test_the_results_are_the_same_bit_for_bit(weights: Any) -> None:
    model = model_of(*weights)
    stored = Bf16Weights.of(model)
    assert stored is not None
    request = compiled(model)
    first = request([np.arange(0, 50, 3)])[0]
    stored.release()
    assert np.array_equal(first, answer(model_of(*weights)))
    assert np.array_equal(first, request([np.arange(0, 50, 3)])[0]), "what was released is read again"


def copies(model: Any) -> list[str]:
    """The nodes that OpenVINO keeps a converted or reordered copy of weights in."""
    return [
        node.get_friendly_name()
        for node in compiled(model).get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) in {"Reorder", "Convert"}
        and node.get_output_partial_shape(0) == ov.PartialShape([WIDTH, WIDTH])
    ]


@needs_bf16
def test_openvino_keeps_no_copy_beside_the_packed_one(weights: Any) -> None:
    """OpenVINO's mark on the conversions is not in its documentation, so an upgrade may lose it."""
    model = model_of(*weights)
    assert copies(model), "OpenVINO makes a copy of fp32 weights: else none of this is needed"
    stored = Bf16Weights.of(model)
    assert stored is not None
    assert copies(model) == []


def test_what_is_no_finite_matrix_of_weights_stays(weights: Any) -> None:
    broken = weights[0].copy()
    broken[3, 4] = np.nan
    model = model_of(broken, weights[1])
    stored = Bf16Weights.of(model)
    assert stored is not None
    types = [str(node.get_element_type()) for node in model.get_ops() if node.get_type_name() == "Constant"]
    assert types.count("<Type: 'bfloat16'>") == 1
    assert types.count("<Type: 'float32'>") == 2, "the table, and the weights that are not finite"


def test_without_room_for_the_file_the_model_stays_as_it_is(
    weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    model = model_of(*weights)
    before = [node.get_friendly_name() for node in model.get_ordered_ops()]
    with capture_logs() as logs:
        assert Bf16Weights.of(model) is None
    assert [node.get_friendly_name() for node in model.get_ordered_ops()] == before
    assert [entry["event"] for entry in logs] == ["more_memory"]
    assert "TMPDIR" in logs[0]["action"]


@given(arrays.arrays(np.float32, 8, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_numbers_are_rounded_to_the_nearest(values: np.ndarray[Any, Any]) -> None:
    back = (rounded(values).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    spacing = np.maximum(np.abs(values.astype(np.float64)) * 2.0**-7, 2.0**-133)
    finite = np.isfinite(back)
    assert (np.abs(back - values)[finite] <= spacing[finite] / 2).all()
    assert (np.abs(values[~finite]) > 3.38e38).all(), "only what bf16 cannot hold becomes infinite"


def test_of_two_as_near_the_even_one_is_taken() -> None:
    halfway = np.array([0x3F808000, 0x3F818000, 0xBF808000, 0xBF818000], np.uint32).view(np.float32)
    assert [hex(bits) for bits in rounded(halfway)] == ["0x3f80", "0x3f82", "0xbf80", "0xbf82"]
