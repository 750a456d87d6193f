"""One identity for a score: equal where the numbers are, and thresholds govern no scores of another."""

import re
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bundle import CALIBRATION, HEADS, TOKENIZER, Bundle, LabelToken, Manifest, Prompt, write_manifest
from engine.bundle.reference import REFERENCE
from engine.contract import Engine
from engine.devices import openvino as openvino_device
from engine.devices.device import Floats
from engine.errors import BundleError, DeviceError, FatalError
from engine.identity import PROMPTED, ScoreIdentity, Windowing, require_fitted
from engine.load import load_engine
from engine.odds import Odds
from engine.proof import head_scores
from engine.reading.reader import Reader
from export.adapting.adapt import adapt
from export.evaluating.evaluate import evaluate
from export.examples import LabelledExample
from mimamori.doctor import examine
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle
from tests.fakes.worker_app import settings
from worker.startup import open_engine, policy_of

EXAMPLES = [
    LabelledExample(text=word * n, at_risk=at_risk, severity=TASK.level_names[n % 3] if at_risk else None)
    for n in range(1, 9)
    for word, at_risk in (("zq", True), ("ab", False))
]
WHERE = Path("bundle") / CALIBRATION

windowings = st.builds(
    lambda tokens, overlap, more, sentences, discount: Windowing(
        tokens, min(overlap, tokens - 1), tokens + more, sentences, discount
    ),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from([0.0, 0.25]),
)
# Small domains, so that two are often equal and often differ in one field alone.
identities = st.builds(
    ScoreIdentity,
    st.sampled_from("ab"),
    st.sampled_from(["fp32", "bf16"]),
    windowings | st.just(PROMPTED),
    st.sampled_from([0.0, 0.3]),
    st.integers(0, 1),
    st.sampled_from([2048, 4096]),
    st.sampled_from([None, Odds(1.0, 0.0), Odds(1.0, -2.0)]),
)


@given(identities, identities)
def test_digests_and_names_are_equal_where_identities_are(one: ScoreIdentity, other: ScoreIdentity) -> None:
    assert (one.digest == other.digest) is (one == other)
    assert (one.name == other.name) is (one == other)
    again = msgspec.json.decode(msgspec.json.encode(one), type=ScoreIdentity)
    assert (again, again.digest) == (one, one.digest)  # calibration.json loses nothing


@given(identities, identities)
def test_thresholds_hold_for_the_scores_they_were_fitted_on_and_for_no_others(
    fitted_on: ScoreIdentity, scored_by: ScoreIdentity
) -> None:
    """However much of a long message is read: what is not read to its end is truncated, and never clear."""
    uncapped = [msgspec.structs.replace(each, max_message_tokens=0) for each in (fitted_on, scored_by)]
    if uncapped[0] == uncapped[1]:
        require_fitted(fitted_on, scored_by, WHERE)
    else:
        with pytest.raises(BundleError, match=r"calibration\.json: the thresholds do not hold"):
            require_fitted(fitted_on, scored_by, WHERE)


FITTED_ON = ScoreIdentity("m", "bf16", Windowing(24, 12, 32, sentences=True, discount=0.3), 0.2, 1, 4096)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "n"}, "another model (graph, tokenizer, heads or prompt)"),
        ({"precision": "fp32"}, "fitted on scores in bf16, and fp32 runs here: set precision=bf16"),
        ({"windowing": PROMPTED}, "messages are read in windows of 256 tokens (32 shared) above 256"),
        ({"floor": 0.1}, "where a discount stops at 0.2, and here at 0.1"),
        ({"normalisation": 2}, "normalised by version 1, and this is version 2"),
        ({"odds": Odds(1.0, -2.0)}, "risks that were restated for another share"),
    ],
)
def test_a_refusal_says_what_differs_and_what_to_do(change: dict[str, Any], said: str) -> None:
    scored_by = msgspec.structs.replace(FITTED_ON, **change)
    with pytest.raises(BundleError, match=re.escape(said)) as refused:
        require_fitted(FITTED_ON, scored_by, WHERE)
    assert f"`mimamori adapt` again with --precision {scored_by.precision}" in str(refused.value)
    assert "both MIMAMORI_LOWER and MIMAMORI_UPPER" in str(refused.value)
    assert ("set precision=" in str(refused.value)) is ("precision" in change)


# What of a manifest decides its scores, and what does not: a change of each, by name.
_LABELS = (LabelToken("risk", "clear", 1), LabelToken("risk", "at_risk", 2), LabelToken("severity", "low", 3))
_DECIDES: dict[str, Callable[[Manifest], Manifest]] = {
    **{
        name: lambda m, name=name: msgspec.structs.replace(m, files=m.files | {name: "changed"})  # type: ignore[misc] # bound now
        for name in ("model.onnx", "model.onnx.data", TOKENIZER, HEADS)
    },
    "prefix": lambda m: msgspec.structs.replace(m, prompt=msgspec.structs.replace(m.prompt, prefix="other")),
    "where the prefix is": lambda m: msgspec.structs.replace(m, prefix="in_row"),
    "languages": lambda m: msgspec.structs.replace(
        m, task=msgspec.structs.replace(m.task, languages=("ja",))
    ),
}
_DECIDES_PROMPTED: dict[str, Callable[[Manifest], Manifest]] = {
    "risk suffix": lambda m: msgspec.structs.replace(m, prompt=Prompt(m.prompt.prefix, "other", "how?")),
    "columns": lambda m: msgspec.structs.replace(m, labels=_LABELS[1:]),
}
_DECIDES_NOTHING: dict[str, Callable[[Manifest], Manifest]] = {
    **{
        name: lambda m, name=name: msgspec.structs.replace(m, files=m.files | {name: "changed"})  # type: ignore[misc] # bound now
        for name in (REFERENCE, CALIBRATION)
    },
    "parity": lambda m: msgspec.structs.replace(m, parity={"cpu fp32": {"original": 0.1}}),
    "source": lambda m: msgspec.structs.replace(m, source=msgspec.structs.replace(m.source, name="renamed")),
    "description": lambda m: msgspec.structs.replace(
        m, task=msgspec.structs.replace(m.task, description="other words")
    ),
}


def _manifest(folder: Path, reading: str) -> Manifest:
    files = dict.fromkeys(
        ["model.onnx", "model.onnx.data", TOKENIZER, HEADS, REFERENCE, CALIBRATION], "as made"
    )
    manifest = write_tiny_bundle(folder).manifest
    prompt = Prompt("Read this.", "risk?", "how?")
    return msgspec.structs.replace(manifest, files=files, prompt=prompt, labels=_LABELS, reading=reading)


@pytest.fixture(scope="module", params=["prompted", "pooled"])
def manifest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return _manifest(tmp_path_factory.mktemp("manifest"), request.param)


@given(st.data())
def test_the_model_is_another_where_something_decisive_is_and_only_there(
    manifest: Manifest, data: st.DataObject
) -> None:
    every = _DECIDES | _DECIDES_PROMPTED | _DECIDES_NOTHING
    decisive = _DECIDES.keys() | (_DECIDES_PROMPTED.keys() if manifest.reading == "prompted" else set())
    chosen = data.draw(st.sets(st.sampled_from(sorted(every)), max_size=3))
    changed = manifest
    for name in sorted(chosen):
        changed = every[name](changed)
    assert (changed.model != manifest.model) is bool(chosen & decisive), chosen


def test_each_decisive_change_gives_a_model_of_its_own(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "prompted")
    changes = _DECIDES | _DECIDES_PROMPTED
    assert len({manifest.model, *(change(manifest).model for change in changes.values())}) == 1 + len(changes)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("identity") / "full")


@pytest.fixture(scope="module")
def adapted(full: Bundle) -> Bundle:
    """Adapted in fp32, which every CPU has."""
    adapt(full.path, EXAMPLES, full.path.parent / "adapted", lambda *_: None, device="cpu")
    return Bundle.load(full.path.parent / "adapted")


def _fitted_in(bundle: Bundle, precision: str, out: Path) -> Bundle:
    """A copy on disk that was adapted on a machine that computes in `precision`."""
    out.mkdir()
    for name in bundle.manifest.files:
        (out / name).write_bytes((bundle.path / name).read_bytes())
    assert bundle.calibration is not None
    fitted_on = msgspec.structs.replace(bundle.calibration.fitted_on, precision=precision)
    calibration = msgspec.structs.replace(bundle.calibration, fitted_on=fitted_on)
    (out / CALIBRATION).write_bytes(msgspec.json.encode(calibration))
    write_manifest(out, bundle.manifest)
    return Bundle.load(out)


def test_an_adapted_bundle_knows_what_scores_it_was_fitted_on(adapted: Bundle) -> None:
    engine = load_engine(adapted, device="cpu")
    assert adapted.calibration is not None
    assert adapted.calibration.fitted_on == engine.identity
    assert engine.identity.model == adapted.manifest.model
    assert engine.identity.precision == engine.precision == "fp32"


def test_devices_that_compute_in_one_precision_share_scores(adapted: Bundle) -> None:
    one, other = (load_engine(adapted, device=d, precision="fp32") for d in ("cpu", "openvino"))
    assert one.identity == other.identity


@pytest.mark.parametrize("able", [["fp32"], openvino_device.precisions()])
def test_auto_runs_what_the_thresholds_were_fitted_on(
    adapted: Bundle, able: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU with bf16 and on one without: what was adapted in fp32 runs in fp32."""
    monkeypatch.setattr(openvino_device, "precisions", lambda: able)
    worker = settings(adapted.path)
    engine = open_engine(worker, adapted)
    assert engine.precision == "fp32"
    assert policy_of(worker, adapted, engine.identity).thresholds.calibration.startswith("examples-")


def test_another_precision_is_refused_whatever_the_cpu(adapted: Bundle) -> None:
    """bf16 by the thresholds, where the CPU has it; else by the device."""
    worker = settings(adapted.path, device="openvino", precision="bf16")
    able = "bf16" in openvino_device.precisions()
    said = "fitted on scores in fp32, and bf16 runs here" if able else "this CPU has no bf16"
    with pytest.raises(BundleError if able else DeviceError, match=said):
        policy_of(worker, adapted, open_engine(worker, adapted).identity)


def test_thresholds_fitted_in_bf16_do_not_govern_fp32(adapted: Bundle, tmp_path: Path) -> None:
    """As on a CPU without bf16, to which a bundle was brought that was adapted on one with it."""
    brought = _fitted_in(adapted, "bf16", tmp_path / "brought")
    engine = load_engine(brought, device="cpu")
    refusals: dict[str, Callable[[], object]] = {
        "run": lambda: policy_of(settings(brought.path), brought, engine.identity),
        "run, with one threshold": lambda: policy_of(settings(lower=0.0), brought, engine.identity),
        "evaluate": lambda: evaluate(engine, brought, EXAMPLES),
    }
    for refusal in refusals.values():
        with pytest.raises(BundleError, match="fitted on scores in bf16, and fp32 runs here"):
            refusal()
    worker = settings(brought.path, device="cpu")
    findings = {each.check: each for each in islice(examine(worker), 3)}  # the broker is not asked
    assert (findings["device"].state, findings["policy"].state) == ("well", "wrong")
    assert "set precision=bf16" in findings["policy"].detail


def test_an_operators_own_thresholds_govern_any_scores(adapted: Bundle, tmp_path: Path) -> None:
    brought = _fitted_in(adapted, "bf16", tmp_path / "brought")
    engine = load_engine(brought, device="cpu")
    thresholds = policy_of(settings(lower=0.0, upper=0.9), brought, engine.identity).thresholds
    assert (thresholds.lower, thresholds.upper, thresholds.calibration) == (0.0, 0.9, "settings")
    report = evaluate(engine, brought, EXAMPLES, lower=0.0, upper=0.9)
    assert report.thresholds == thresholds
    assert report.seen_at_adapt  # whoever's thresholds they are, the heads have seen the examples


def test_both_thresholds_of_an_operator_are_theirs_even_if_they_are_the_calibrations(adapted: Bundle) -> None:
    assert adapted.calibration is not None
    same = settings(lower=adapted.calibration.lower, upper=adapted.calibration.upper)
    thresholds = policy_of(same, adapted, adapted.calibration.fitted_on).thresholds
    assert thresholds.calibration == "settings"


def test_default_thresholds_were_fitted_on_nothing_and_govern_anything(full: Bundle) -> None:
    engine = load_engine(full, device="cpu")
    assert policy_of(settings(full.path), full, engine.identity).thresholds.calibration.startswith("none")


def _other_heads(bundle: Bundle, out: Path) -> Bundle:
    """As somebody would exchange them who takes care that the proof at start finds nothing."""
    assert bundle.heads is not None
    heads = msgspec.structs.replace(bundle.heads, risk_bias=bundle.heads.risk_bias + np.float32(0.5))
    copied = _fitted_in(bundle, "fp32", out)
    np.savez(out / HEADS, **{name: getattr(heads, name) for name in heads.__struct_fields__})
    kept = head_scores(heads, copied.reference.pooled)
    msgspec.structs.replace(copied.reference, scores=kept).save(out / REFERENCE)
    write_manifest(out, copied.manifest)
    return Bundle.load(out)


def _other_tokenizer(bundle: Bundle, out: Path) -> Bundle:
    copied = _fitted_in(bundle, "fp32", out)
    (out / TOKENIZER).write_bytes((out / TOKENIZER).read_bytes() + b"\n")
    write_manifest(out, copied.manifest)
    return Bundle.load(out)


def _other_lower(bundle: Bundle, out: Path) -> Bundle:
    copied = _fitted_in(bundle, "fp32", out)
    assert copied.calibration is not None
    changed = msgspec.structs.replace(copied.calibration, lower=0.01, upper=1.0)
    windows = msgspec.structs.replace(changed.fitted_on.windowing, discount=0.5)
    fitted_on = msgspec.structs.replace(changed.fitted_on, windowing=windows, floor=0.3)
    (out / CALIBRATION).write_bytes(
        msgspec.json.encode(msgspec.structs.replace(changed, fitted_on=fitted_on))
    )
    write_manifest(out, copied.manifest)
    return Bundle.load(out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_heads, "heads"),
        (_other_tokenizer, "tokenizer"),
        (_other_lower, "discount stops at 0.3, and here at 0.01"),
    ],
)
def test_a_bundle_that_was_changed_after_it_was_adapted_is_refused(
    adapted: Bundle, tmp_path: Path, change: Callable[[Bundle, Path], Bundle], said: str
) -> None:
    """With every checksum in order: the bundle is what it says, but its thresholds are of another."""
    changed = change(adapted, tmp_path / "changed")
    with pytest.raises(FatalError, match=said):
        changed.thresholds_for(load_engine(changed, device="cpu").identity)


def test_another_version_of_the_second_reading_is_refused(
    adapted: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.load.VERSION", 99)
    with pytest.raises(BundleError, match="normalised by version 1, and this is version 99"):
        adapted.thresholds_for(load_engine(adapted, device="cpu").identity)


def test_other_windows_are_refused(adapted: Bundle) -> None:
    assert adapted.calibration is not None
    fitted_on = msgspec.structs.replace(adapted.calibration.fitted_on, windowing=PROMPTED)
    uncut = msgspec.structs.replace(adapted.calibration, fitted_on=fitted_on)
    engine = load_engine(msgspec.structs.replace(adapted, calibration=uncut), device="cpu")
    with pytest.raises(BundleError, match="messages are read in windows of 256 tokens"):
        adapted.thresholds_for(engine.identity)


def test_how_much_of_a_message_is_read_changes_scores_and_not_thresholds(adapted: Bundle) -> None:
    """So workers with different limits share no scores, and either may start."""
    long = ["zqzq abab. " * 8]
    engines: list[Engine] = [
        load_engine(adapted, device="cpu", max_message_tokens=most) for most in (20, 200)
    ]
    few, many = (engine.read(long)[0] for engine in engines)
    assert (few.truncated, many.truncated) == (True, False)
    assert few != many
    one, other = (engine.identity for engine in engines)
    assert one.digest != other.digest
    assert adapted.thresholds_for(one) == adapted.thresholds_for(other)


def test_adapt_and_the_engine_cut_texts_alike(
    full: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very rows that thresholds were fitted on are read again: of long texts, of disguised ones twice."""
    examples = [
        *EXAMPLES,
        LabelledExample(text="zqz zqz. " * 9, at_risk=True),
        LabelledExample(text="a\u200bb\u200ba\u200bb a\u200bb\u200ba", at_risk=False),
    ]
    given: list[list[list[int]]] = []
    real = Reader.rows

    def noting(reader: Reader, rows: Sequence[Sequence[int]], *others: Any, **named: Any) -> Floats:
        given.append([list(row) for row in rows])
        return real(reader, rows, *others, **named)

    monkeypatch.setattr(Reader, "rows", noting)
    adapt(full.path, examples, tmp_path / "out", lambda *_: None, device="cpu")
    by_adapt = given.copy()
    engine = load_engine(Bundle.load(tmp_path / "out"), device="cpu")
    given.clear()
    scores = engine.read([example.text for example in examples])
    assert scores[-1].windows == 2
    assert scores[-2].windows > 1
    assert len(given) == 1
    assert given[0] in by_adapt
