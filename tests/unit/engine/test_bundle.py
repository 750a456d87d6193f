"""A bundle is what it was made with, or it is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.bundle import CALIBRATION, HEADS, MANIFEST, Bundle, Manifest, read_manifest, write_manifest
from engine.errors import BundleError
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Thresholds
from tests.fakes.tiny_bundle import HIDDEN, write_tiny_bundle


def rewrite(path: Path, **changes: object) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle").path


def test_what_was_written_is_read_back(path: Path) -> None:
    bundle = Bundle.load(path)
    assert bundle.manifest.task.name == "tiny"
    assert len(bundle.fingerprint) == 64
    assert bundle.thresholds_for(CannedEngine().identity).calibration.startswith("none")


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json"])
def test_one_changed_byte_in_any_file_is_refused(path: Path, name: str) -> None:
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(BundleError, match=name):
        Bundle.load(path)


def test_a_missing_file_is_named(path: Path) -> None:
    (path / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        Bundle.load(path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda path: rewrite(path, format=99), "format 99"),
        (lambda path: rewrite(path, surprise=1), "surprise"),
        (lambda path: (path / MANIFEST).write_text("{"), "bundle.json"),
        (lambda path: rewrite(path, reading="pooled"), "mimamori adapt"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(
    path: Path, change: Callable[[Path], object], word: str
) -> None:
    change(path)
    with pytest.raises(BundleError, match=word):
        Bundle.load(path)


def adapted(path: Path, **arrays: np.ndarray) -> None:
    shapes = {
        "mean": (HIDDEN,),
        "scale": (HIDDEN,),
        "risk_weight": (HIDDEN,),
        "risk_bias": (),
        "severity_weight": (3, HIDDEN),
        "severity_bias": (3,),
    }
    np.savez(path / HEADS, **{name: np.ones(shape, np.float32) for name, shape in shapes.items()} | arrays)
    calibration: dict[str, object] = {"name": "test", "lower": 0.2, "upper": 0.8, "tolerated_miss_rate": 0.1}
    fitted_on = msgspec.to_builtins(CannedEngine().identity)
    calibration |= {"examples": 10, "positives": 5, "fitted_on": fitted_on}
    (path / CALIBRATION).write_text(json.dumps(calibration))
    manifest, _ = read_manifest(path)
    write_manifest(path, manifest)


def test_an_adapted_bundle_brings_its_heads_and_thresholds(path: Path) -> None:
    adapted(path)
    bundle = Bundle.load(path)
    assert bundle.heads is not None
    assert bundle.calibration is not None
    assert bundle.thresholds_for(bundle.calibration.fitted_on) == Thresholds(0.2, 0.8, "test")


def test_heads_of_another_shape_are_refused(path: Path) -> None:
    adapted(path, risk_weight=np.zeros(HIDDEN + 1, np.float32))
    with pytest.raises(BundleError, match="risk_weight"):
        Bundle.load(path)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_heads_that_would_clear_everything_are_refused(path: Path, scale: float) -> None:
    adapted(path, scale=np.full(HIDDEN, scale, np.float32))
    with pytest.raises(BundleError, match="no fit gives"):
        Bundle.load(path)


def test_the_fingerprint_changes_with_any_file(path: Path) -> None:
    manifest: Manifest
    manifest, before = read_manifest(path)
    (path / "tokenizer.json").write_bytes((path / "tokenizer.json").read_bytes() + b"\n")
    assert write_manifest(path, manifest) != before
