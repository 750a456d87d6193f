"""Whatever a loader did to a tensor, among the things it may do, matching finds and repeats it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.building.tensors import Derivation
from export.errors import ExportError
from export.exporting.match import match_weights

HEADS, LABELS = (4, 2), (5, 1, 3)


@given(seed=st.integers(0, 2**32 - 1), made=st.data())
def test_a_derived_weight_is_made_again_bit_for_bit(seed: int, made: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    tensors = {name: random.normal(size=(8, 6)).astype(np.float32) for name in ("a", "b", "c")}
    tensors["a"][0, 0], tensors["b"][0, 0] = 0.0, -0.0
    derivation = made.draw(
        st.builds(
            Derivation,
            file=st.just("f"),
            tensor=st.sampled_from(sorted(tensors)),
            unrope=st.sampled_from((0, *HEADS)),
            transpose=st.booleans(),
        )
        | st.builds(
            Derivation,
            file=st.just("f"),
            tensor=st.sampled_from(sorted(tensors)),
            rows=st.just(LABELS),
            transpose=st.booleans(),
        )
    )
    weight = derivation.apply(tensors[derivation.tensor])
    found = match_weights({"w": weight}, _files(tensors), HEADS, LABELS)["w"]
    assert found.apply(tensors[found.tensor]).tobytes() == weight.tobytes()


@pytest.mark.parametrize("terms", [(), (1.0,), (-1.0, 1.0)])
def test_a_folded_norm_is_made_again_bit_for_bit(terms: tuple[float, ...]) -> None:
    # Small enough that taking 1 away and adding it again rounds.
    norm = np.random.default_rng(0).normal(0, 0.01, 4096).astype(np.float32)
    weight = Derivation("f", "norm", add=terms).apply(norm)
    found = match_weights({"w": weight}, _files({"norm": norm}), HEADS, LABELS)["w"]
    assert found == Derivation("f", "norm", add=terms)


def test_a_matrix_is_never_summed() -> None:
    tensors = {"a": np.ones((8, 8), np.float32)}
    with pytest.raises(ExportError, match="not in the model's files"):
        match_weights({"w": tensors["a"] + 1}, _files(tensors), HEADS, LABELS)


def test_a_negative_zero_is_not_a_zero() -> None:
    tensors = {"zero": np.zeros((2, 2), np.float32)}
    with pytest.raises(ExportError, match="not in the model's files"):
        match_weights({"w": -tensors["zero"]}, _files(tensors), HEADS, LABELS)


def test_a_changed_weight_is_named() -> None:
    tensors = {"a": np.arange(48, dtype=np.float32).reshape(8, 6)}
    with pytest.raises(ExportError, match="first: changed"):
        match_weights({"kept": tensors["a"], "changed": tensors["a"] + 1}, _files(tensors), HEADS, LABELS)


def _files(tensors: dict[str, Any]) -> Any:
    return {"f": tensors}
