"""The proof at start includes the heads: theirs are the scores, and zeros would clear everyone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.bundle import CALIBRATION, Bundle, Heads, write_manifest
from engine.bundle.reference import REFERENCE
from engine.errors import BundleError, DeviceError, SettingsError, TaskError
from engine.load import load_engine
from engine.proof import TOLERANCES, head_scores
from engine.reading.engines import apply_heads
from export.adapting.adapt import adapt
from export.examples import LabelledExample
from tests.fakes.tiny_bundle import HIDDEN, TASK, write_tiny_bundle
from tests.fakes.worker_app import settings
from worker.settings import Settings
from worker.startup import policy_of

EXAMPLES = [
    LabelledExample(text=word * n, at_risk=at_risk, severity=severity)
    for n in range(1, 9)
    for word, at_risk, severity in (("zq", True, TASK.level_names[n % 3]), ("ab", False, None))
]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    full = write_tiny_bundle(tmp_path_factory.mktemp("heads") / "full")
    adapt(full.path, EXAMPLES, full.path.parent / "adapted", lambda *_: None, device="cpu")
    return Bundle.load(full.path.parent / "adapted")


def _with(bundle: Bundle, heads: Heads, *, kept_anew: bool) -> Bundle:
    """`bundle` with other heads; `kept_anew`: by somebody who takes care that the scores belong to them."""
    reference = bundle.reference
    if kept_anew:
        reference = msgspec.structs.replace(reference, scores=head_scores(heads, reference.pooled))
    return msgspec.structs.replace(bundle, heads=heads, reference=reference)


def _heads(bundle: Bundle, **arrays: Any) -> Heads:
    assert bundle.heads is not None
    changed = {name: np.asarray(value, np.float32) for name, value in arrays.items()}
    return msgspec.structs.replace(bundle.heads, **changed)


def test_an_adapted_bundle_keeps_the_scores_of_its_heads(adapted: Bundle) -> None:
    assert adapted.heads is not None
    scores = adapted.reference.scores
    assert scores.shape == (len(adapted.reference.rows), 1 + len(TASK.level_names))
    assert np.allclose(scores[:, 1:].sum(axis=1), 1)
    assert np.array_equal(scores, head_scores(adapted.heads, adapted.reference.pooled))
    assert adapted.calibration is not None
    assert adapted.calibration.lower <= adapted.calibration.highest
    assert adapted.calibration.graded == 8


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_heads_that_score_as_they_did_start(device: str, adapted: Bundle) -> None:
    load_engine(adapted, device=device, precision="fp32")  # type: ignore[arg-type] # literals above


@pytest.mark.parametrize("name", ["risk_bias", "severity_bias"])
def test_heads_that_score_otherwise_do_not_start(name: str, adapted: Bundle) -> None:
    bias = getattr(adapted.heads, name) + np.array([0.5, 0, 0][: getattr(adapted.heads, name).size or 1])
    other = _heads(adapted, **{name: bias.reshape(getattr(adapted.heads, name).shape)})
    with pytest.raises(BundleError, match="gives other scores than when it was fitted"):
        load_engine(_with(adapted, other, kept_anew=False), device="cpu")


@pytest.mark.parametrize(
    "arrays",
    [
        {"risk_weight": np.zeros(HIDDEN)},
        {"risk_weight": np.zeros(HIDDEN), "risk_bias": -9},
        {"risk_bias": -50},
        {"risk_bias": 80},
        {"scale": np.full(HIDDEN, 1e9)},
    ],
)
def test_heads_that_tell_nothing_apart_do_not_start(arrays: dict[str, Any], adapted: Bundle) -> None:
    """However carefully the rest of the bundle was made to belong to them."""
    with pytest.raises(BundleError, match="every text the same risk"):
        load_engine(_with(adapted, _heads(adapted, **arrays), kept_anew=True), device="cpu")


def test_severity_that_tells_nothing_apart_does_not_start_where_it_was_fitted(adapted: Bundle) -> None:
    zeros = _with(adapted, _heads(adapted, severity_weight=np.zeros((3, HIDDEN))), kept_anew=True)
    with pytest.raises(BundleError, match="every text the same severity"):
        load_engine(zeros, device="cpu")
    assert adapted.calibration is not None
    ungraded = msgspec.structs.replace(adapted.calibration, graded=0)
    load_engine(msgspec.structs.replace(zeros, calibration=ungraded), device="cpu")


def test_what_the_device_makes_of_the_scores_is_held_against_them(
    adapted: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors may be near enough, and the heads make more of the difference than can be borne."""
    monkeypatch.setitem(TOLERANCES, "fp32", TOLERANCES["fp32"]._replace(scores=1e-9))
    with pytest.raises(DeviceError, match=r"other scores than heads\.npz gave"):
        load_engine(adapted, device="cpu")


def _rewritten(bundle: Bundle, out: Path, change: Callable[[Path], object]) -> Path:
    out.mkdir()
    for name in bundle.manifest.files:
        (out / name).write_bytes((bundle.path / name).read_bytes())
    change(out)
    write_manifest(out, bundle.manifest)
    return out


def test_a_bundle_adapted_before_scores_were_kept_says_so(adapted: Bundle, tmp_path: Path) -> None:
    def forget(out: Path) -> None:
        with np.load(out / REFERENCE) as arrays:
            kept = {name: array for name, array in arrays.items() if name != "scores"}
        np.savez(out / REFERENCE, **kept)

    with pytest.raises(BundleError, match="was adapted by an earlier version"):
        Bundle.load(_rewritten(adapted, tmp_path / "old", forget))


@pytest.mark.parametrize(
    "changes", [{"lower": 1, "upper": 1}, {"lower": 0.9999, "upper": 0.9999, "highest": 0.5}]
)
def test_a_calibration_that_would_clear_everything_is_refused(
    changes: dict[str, float], adapted: Bundle, tmp_path: Path
) -> None:
    def calibrate(out: Path) -> None:
        calibration = json.loads((out / CALIBRATION).read_text())
        (out / CALIBRATION).write_text(json.dumps(calibration | changes))

    with pytest.raises(BundleError, match=r"calibration\.json: lower is .* everything would be clear"):
        Bundle.load(_rewritten(adapted, tmp_path / "clears", calibrate))


@pytest.mark.parametrize("text", ["NaN", "1e999", "null", '"1"'])
def test_a_threshold_that_is_no_number_is_refused(text: str, adapted: Bundle, tmp_path: Path) -> None:
    def calibrate(out: Path) -> None:
        calibration = json.loads((out / CALIBRATION).read_text()) | {"lower": "here"}
        (out / CALIBRATION).write_text(json.dumps(calibration).replace('"here"', text))

    with pytest.raises(BundleError, match=r"calibration\.json"):
        Bundle.load(_rewritten(adapted, tmp_path / "none", calibrate))


def test_settings_that_would_clear_everything_are_refused_unless_forced_by_name(adapted: Bundle) -> None:
    assert adapted.highest is not None
    assert adapted.calibration is not None
    scored_by = adapted.calibration.fitted_on
    for lower in (1.0, (1.0 + adapted.highest) / 2):
        with pytest.raises(SettingsError, match="MIMAMORI_ALLOW_CLEAR_ALL=true"):
            policy_of(settings(lower=lower, upper=1), adapted, scored_by)
    forced = policy_of(settings(lower=1, upper=1, allow_clear_all=True), adapted, scored_by)
    assert forced.verdict(0.999) == "clear"
    assert (
        policy_of(settings(lower=adapted.highest, upper=1), adapted, scored_by).thresholds.lower
        == adapted.highest
    )


def test_settings_alone_would_clear_everything(tmp_path: Path) -> None:
    """Nothing is known of the scores of a bundle that was not adapted, except that none is above 1."""
    full = write_tiny_bundle(tmp_path / "full")
    scored_by = load_engine(full, device="cpu").identity
    with pytest.raises(SettingsError, match="MIMAMORI_ALLOW_CLEAR_ALL"):
        policy_of(settings(lower=1, upper=1), full, scored_by)
    assert policy_of(settings(lower=0.99, upper=1), full, scored_by).thresholds.lower == 0.99


@pytest.mark.parametrize("name", ["lower", "upper", "quality_sample_share"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_setting_that_is_no_number_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Settings.model_validate({name: value})


def test_examples_that_cannot_be_told_apart_make_no_bundle(tmp_path: Path) -> None:
    full = write_tiny_bundle(tmp_path / "full")
    # Every text's nearest ones have the other label.
    same = [LabelledExample(text="ab" * (1 + n), at_risk=n % 2 == 0) for n in range(16)]
    with pytest.raises(TaskError, match="no better than chance"):
        adapt(full.path, same, tmp_path / "out", lambda *_: None, device="cpu")
    assert not (tmp_path / "out").exists()


def test_what_is_not_finite_is_no_risk_of_0_or_1() -> None:
    """fp16 that overflows gives infinite states. A risk that is not a number goes to people."""
    weight = np.array([1.0, -1.0], np.float32)
    heads = Heads(
        weight * 0,
        weight * 0 + 1,
        weight,
        np.array(0, np.float32),
        np.zeros((3, 2), np.float32),
        np.zeros(3, np.float32),
    )
    risks, severities = apply_heads(heads, np.array([[np.inf, 0], [-np.inf, 1], [0, 0]], np.float32))
    assert np.isnan(risks[:2]).all()
    assert np.isnan(severities[:2]).all()
    assert risks[2] == 0.5
