"""A worker starts only where its scores are the original model's, whoever its neighbours are."""

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from engine.bundle import Bundle
from engine.bundle.reference import REFERENCE, Reference
from engine.device_names import Precision
from engine.errors import BundleError, DeviceError
from engine.load import load_engine, open_reader
from engine.proof import TOLERANCES, prove
from export.adapting.adapt import adapt
from export.examples import LabelledExample
from tests.fakes.tiny_bundle import HIDDEN, LAYERS, TASK, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("proof") / "tiny")


def _answering(bundle: Bundle, **changes: Any) -> Bundle:
    return msgspec.structs.replace(bundle, reference=msgspec.structs.replace(bundle.reference, **changes))


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_a_graph_that_answers_as_the_original_starts(bundle: Bundle, device: str) -> None:
    load_engine(bundle, device=device, precision="fp32")  # type: ignore[arg-type] # literals above


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_a_graph_that_answers_otherwise_does_not_start(bundle: Bundle, device: str) -> None:
    logits = bundle.reference.label_logits.copy()
    logits[1, 0] += 0.01
    with pytest.raises(DeviceError, match=r"is not the original model: label logits are off by 0\.00"):
        load_engine(_answering(bundle, label_logits=logits), device=device, precision="fp32")  # type: ignore[arg-type] # literals above


def test_what_the_labels_of_a_stage_share_does_not_count(bundle: Bundle) -> None:
    """A softmax does not see it, and half precisions are often off by it."""
    shifted = _answering(bundle, label_logits=bundle.reference.label_logits + 3)
    load_engine(shifted, device="cpu")


def test_pooled_vectors_are_proven_as_well(bundle: Bundle) -> None:
    reader = open_reader(bundle, "pooled", device="cpu")
    assert prove(reader, bundle, "pooled").original < 1e-3
    turned = _answering(bundle, pooled=bundle.reference.pooled * np.float32(1.01))
    with pytest.raises(DeviceError, match="pooled vectors are off"):
        prove(reader, turned, "pooled")


class _Dishonest:
    """A reader that changes what a real one answers."""

    def __init__(self, bundle: Bundle) -> None:
        self._real = open_reader(bundle, "label_logits", device="cpu")
        self.device = self._real.device

    def rows(self, rows: Sequence[Sequence[int]]) -> Any:
        return self.changed(self._real.rows(rows))

    def together(self, rows: Sequence[Sequence[int]]) -> Any:
        return self.changed(self._real.together(rows))

    def changed(self, answers: Any) -> Any:
        return answers


class _Leaky(_Dishonest):
    """A row's answer depends on its neighbours, by less than may be between it and the original."""

    def changed(self, answers: Any) -> Any:
        answers[:, 0] += np.float32(0.0016 if len(answers) > 1 else -0.0016)
        return answers


class _Broken(_Dishonest):
    def changed(self, answers: Any) -> Any:
        answers[-1] = np.nan
        return answers


class _BrokenInOneLabel(_Dishonest):
    """Of the last stage only."""

    def changed(self, answers: Any) -> Any:
        answers[-1, -1] = np.nan
        return answers


class _BrokenAlone(_Dishonest):
    def changed(self, answers: Any) -> Any:
        return answers * np.float32(np.nan if len(answers) == 1 else 1)


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (_Leaky, "off by"),
        (_Broken, "not finite"),
        (_BrokenInOneLabel, "not finite"),
        (_BrokenAlone, "not finite"),
    ],
)
def test_neighbours_and_nans_are_noticed(bundle: Bundle, reader: type[_Dishonest], said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        prove(reader(bundle), bundle, "label_logits")  # type: ignore[arg-type] # a reader in all that is used


def test_coarser_precisions_are_allowed_more_but_not_a_wrong_model() -> None:
    assert set(TOLERANCES) == set(get_args(Precision))
    assert TOLERANCES["fp32"] < TOLERANCES["fp16"] < TOLERANCES["bf16"]
    assert TOLERANCES["bf16"].label_logits < 0.5
    assert TOLERANCES["int8"] == TOLERANCES["bf16"]  # quantised or not: as good as the default must be


def test_an_adapted_bundle_keeps_the_answers_of_its_layer(bundle: Bundle) -> None:
    examples = [
        LabelledExample(text=word * n, at_risk=at_risk, severity=severity)
        for n in range(1, 9)
        for word, at_risk, severity in (("zq", True, TASK.level_names[n % 3]), ("ab", False, None))
    ]
    out = bundle.path.parent / "adapted"
    adapt(bundle.path, examples, out, lambda *_: None, device="cpu")
    adapted = Bundle.load(out)
    layer = adapted.manifest.layer
    assert layer is not None
    assert np.array_equal(adapted.reference.pooled, bundle.reference.pooled[:, layer - 1])
    assert adapted.reference.pooled.shape == (len(bundle.reference.rows), HIDDEN)
    assert bundle.reference.pooled.shape[1] == LAYERS
    wrong = _answering(adapted, pooled=adapted.reference.pooled + np.float32(0.1))
    with pytest.raises(DeviceError, match="pooled vectors are off"):
        load_engine(wrong, device="cpu")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_answers_that_cannot_be_read_are_one_clear_error(content: bytes, tmp_path: Any) -> None:
    (tmp_path / REFERENCE).write_bytes(content)
    with pytest.raises(BundleError, match="cannot be read"):
        Reference.load(tmp_path / REFERENCE)


def test_answers_come_back_as_they_were_kept(bundle: Bundle, tmp_path: Any) -> None:
    bundle.reference.save(tmp_path / "a.npz")
    again = Reference.load(tmp_path / "a.npz")
    for name in Reference.__struct_fields__:
        assert np.array_equal(getattr(again, name), getattr(bundle.reference, name))
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
