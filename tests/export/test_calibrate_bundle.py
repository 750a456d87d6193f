"""A bundle is calibrated on examples kept apart: what the copy states, holds for, and refuses."""

import resource
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import structlog

from engine.bundle import CALIBRATION, Bundle, write_manifest
from engine.bundle.calibration import Share
from engine.bundle.signature import SIGNATURE
from engine.contract import Engine
from engine.errors import BundleError, SettingsError, TaskError
from engine.identity import PROMPTED
from engine.load import load_engine
from engine.scores import Scores
from export.adapting.adapt import adapt
from export.calibrating.calibrate import CalibrateReport, calibrate
from export.calibrating.cleared import hurdles, read_all
from export.calibrating.goal import Goal
from export.evaluating.evaluate import evaluate
from export.evaluating.page.render import render
from export.examples import LabelledExample
from mimamori.doctor import examine
from mimamori.soak.canned_engine import CannedEngine
from tests.fakes.tiny_bundle import TASK, write_tiny_bundle
from tests.fakes.worker_app import settings
from worker.startup import open_engine, policy_of, tell_thresholds

# 8 examples of a class are enough to show 20 % mistakes at most with a confidence of 0.8.
GOAL = Goal(0.2, 0.2, 0.8)


def _examples(count: int, seed: int, *, at_risk: bool | None = None) -> list[LabelledExample]:
    """Texts mostly of z and q where somebody is at risk, of a and b where not; a few are long."""
    chance = np.random.default_rng(seed)
    made = []
    for number in range(count):
        ill = bool(number % 2) if at_risk is None else at_risk
        words = [
            "zq" if (chance.random() < 0.63) == ill else "ab" for _ in range(int(chance.integers(3, 12)))
        ]
        text = "".join(words) + str(chance.integers(1000, 10000))
        if number % 7 == 0:
            text = ". ".join([text, *(["abab" * 3] * 4)])
        made.append(
            LabelledExample(text, at_risk=ill, severity=TASK.level_names[number % 3] if ill else None)
        )
    return made


ADAPT, APART = _examples(40, 1), _examples(160, 2)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("calibrate") / "full")


@pytest.fixture(scope="module")
def adapted(full: Bundle) -> Bundle:
    """Adapted in fp32, with a discount for long messages; a signature is beside it."""
    path = full.path.parent / "adapted"
    adapt(full.path, ADAPT, path, lambda *_: None, device="cpu")
    bundle = Bundle.load(path)
    assert bundle.calibration is not None
    windowing = msgspec.structs.replace(bundle.windowing, discount=0.4)
    fitted_on = msgspec.structs.replace(
        bundle.calibration.fitted_on, windowing=windowing, floor=bundle.calibration.lower
    )
    calibration = msgspec.structs.replace(bundle.calibration, fitted_on=fitted_on)
    (path / CALIBRATION).write_bytes(msgspec.json.encode(calibration))
    write_manifest(path, bundle.manifest)
    (path / SIGNATURE).write_text("somebody's")
    return Bundle.load(path)


def _calibrate(
    bundle: Bundle, out: Path, examples: list[LabelledExample] = APART, goal: Goal = GOAL, **options: Any
) -> CalibrateReport:
    return calibrate(bundle.path, examples, out, lambda *_: None, goal, device="cpu", **options)


@pytest.fixture(scope="module")
def report(adapted: Bundle) -> CalibrateReport:
    return _calibrate(adapted, adapted.path.parent / "calibrated", share=Share(0.05, "stated"))


@pytest.fixture(scope="module")
def calibrated(report: CalibrateReport) -> Bundle:
    return Bundle.load(report.bundle)


def _risks(engine: Engine, examples: list[LabelledExample]) -> list[Scores]:
    return read_all(engine, [example.text for example in examples], lambda *_: None)


def test_the_copy_is_another_bundle_with_the_same_model_and_no_signature(
    adapted: Bundle, calibrated: Bundle, report: CalibrateReport
) -> None:
    assert Bundle.load(adapted.path).fingerprint == adapted.fingerprint
    assert calibrated.fingerprint == report.fingerprint != adapted.fingerprint
    assert calibrated.manifest.model == adapted.manifest.model
    assert report.was_signed
    assert not (calibrated.path / SIGNATURE).exists()
    changed = {
        name for name, digest in calibrated.manifest.files.items() if adapted.manifest.files[name] != digest
    }
    assert changed == {CALIBRATION}


def test_thresholds_hold_for_the_scores_of_the_copy_and_not_for_those_of_the_original(
    adapted: Bundle, calibrated: Bundle
) -> None:
    engine = load_engine(calibrated, device="cpu")
    assert calibrated.calibration is not None
    assert engine.identity == calibrated.calibration.fitted_on
    assert calibrated.thresholds_for(engine.identity) == calibrated.calibration.thresholds
    with pytest.raises(BundleError, match="restated for another share"):
        calibrated.thresholds_for(load_engine(adapted, device="cpu").identity)


def test_what_is_stated_is_what_a_worker_does(calibrated: Bundle, report: CalibrateReport) -> None:
    """The engine that a worker opens clears as many of the examples as the statement counts."""
    scores = _risks(load_engine(calibrated, device="cpu"), APART)
    ill = np.array([example.at_risk for example in APART])
    cleared = hurdles(scores) < report.lower
    alarms = np.array([each.risk for each in scores]) >= report.upper
    said = report.statement
    assert (int(cleared[ill].sum()), int(ill.sum())) == (said.missed, said.positives)
    assert (int(alarms[~ill].sum()), int((~ill).sum())) == (said.alarms, said.negatives)
    assert said.missed > 0
    evaluated = evaluate(load_engine(calibrated, device="cpu"), calibrated, APART)
    assert evaluated.miss_rate == said.missed / said.positives
    assert evaluated.states == str(said)
    assert evaluated.seen_at_adapt  # nobody should take these figures for those of unseen messages


def test_evaluation_weighs_a_file_as_the_stream_that_risks_are_stated_for(
    adapted: Bundle, tmp_path: Path
) -> None:
    _calibrate(adapted, tmp_path / "out", share=Share(0.03, "stated"))
    rare = Bundle.load(tmp_path / "out")
    found = evaluate(load_engine(rare, device="cpu"), rare, _examples(160, 3))
    assert found.reliability is not None
    assert found.reliability.prevalence == 0.03
    assert found.reliability.error < 0.05
    assert any("of which 3.0% are at risk; of this file 50.0% are" in note for note in found.notes)
    words = render(found)
    assert "which the bundle's risks are stated for" in unescape(words)


def test_no_message_is_cleared_because_it_is_long(calibrated: Bundle) -> None:
    """The discount stops at the lower threshold, wherever calibrating has put it."""
    assert calibrated.windowing.discount == 0.4
    plain = msgspec.structs.replace(calibrated.windowing, discount=0.0)
    assert calibrated.calibration is not None
    fitted_on = msgspec.structs.replace(calibrated.calibration.fitted_on, windowing=plain)
    whole = msgspec.structs.replace(calibrated.calibration, fitted_on=fitted_on)
    lower = calibrated.calibration.lower
    long = [LabelledExample(". ".join(["abab" * 3] * n + ["zqzq" * 3]), at_risk=True) for n in range(4, 12)]
    with_discount = _risks(load_engine(calibrated, device="cpu"), long)
    without = _risks(load_engine(msgspec.structs.replace(calibrated, calibration=whole), device="cpu"), long)
    assert all(each.windows > 1 for each in with_discount)
    assert any(less.risk < more.risk for less, more in zip(with_discount, without, strict=True))
    assert [each.risk < lower for each in with_discount] == [each.risk < lower for each in without]


def test_verdicts_do_not_change_by_the_share_and_risks_do(adapted: Bundle, tmp_path: Path) -> None:
    verdicts, means = [], []
    for share in (0.01, 0.6):
        told = _calibrate(adapted, tmp_path / str(share), share=Share(share, "stated"))
        bundle = Bundle.load(told.bundle)
        scores = _risks(load_engine(bundle, device="cpu"), _examples(60, 9))
        policy = policy_of(settings(bundle.path), bundle, load_engine(bundle, device="cpu").identity)
        verdicts.append([policy.verdict(each.risk) for each in scores])
        means.append(float(np.mean([each.risk for each in scores])))
        assert policy.thresholds.prevalence == share
    assert verdicts[0] == verdicts[1]
    assert len(set(verdicts[0])) > 1
    assert means[0] < means[1] / 3


def test_labels_doctor_and_log_name_the_statement(
    calibrated: Bundle, report: CalibrateReport, adapted: Bundle
) -> None:
    worker = settings(calibrated.path, device="cpu")
    policy = policy_of(worker, calibrated, open_engine(worker, calibrated).identity)
    thresholds = policy.thresholds
    with structlog.testing.capture_logs() as logged:
        tell_thresholds(calibrated, policy)
    assert logged[0]["states"] == str(report.statement)
    assert thresholds.calibration.startswith("miss<=0.2@0.8 examples-")
    assert (thresholds.max_miss_rate, thresholds.confidence, thresholds.prevalence) == (0.2, 0.8, 0.05)
    findings = {each.check: each for each in islice(examine(worker), 3)}  # the broker is not asked
    assert findings["policy"].state == "well"
    assert str(report.statement) in findings["policy"].detail
    before = {each.check: each for each in islice(examine(settings(adapted.path, device="cpu")), 3)}
    assert "no bound is stated (`mimamori calibrate` states one)" in before["policy"].detail
    lowered = settings(calibrated.path, device="cpu", lower=0.0)
    own = policy_of(lowered, calibrated, open_engine(worker, calibrated).identity).thresholds
    assert (own.calibration, own.max_miss_rate) == ("settings", None)


def test_in_expectation_less_is_promised_and_more_is_cleared(
    adapted: Bundle, report: CalibrateReport, tmp_path: Path
) -> None:
    goal = GOAL._replace(bound="expectation")
    told = _calibrate(adapted, tmp_path / "mean", goal=goal, share=Share(0.05, "stated"))
    assert told.lower > report.lower
    assert told.statement.missed > report.statement.missed
    assert told.statement.with_confidence is not None  # both are stated, whichever sets the thresholds
    assert told.statement.with_confidence.lower < told.lower
    thresholds = Bundle.load(told.bundle).calibration
    assert thresholds is not None
    assert thresholds.name.startswith("miss<=0.2@mean examples-")
    assert (thresholds.thresholds.max_miss_rate, thresholds.thresholds.confidence) == (0.2, None)


def test_the_share_is_taken_from_traffic_or_else_from_the_examples(adapted: Bundle, tmp_path: Path) -> None:
    traffic = [each.text for n in (False, True) for each in _examples(60 if n else 240, 11 + n, at_risk=n)]
    told = _calibrate(adapted, tmp_path / "traffic", traffic=traffic)
    share = told.statement.share
    assert (share.source, share.seen) == ("traffic", 300)
    assert share.low is not None
    assert share.high is not None
    assert share.low < 0.2 < share.high
    assert [load.prevalence for load in told.workloads] == [share.prevalence, share.low, share.high]
    plain = _calibrate(adapted, tmp_path / "examples").statement.share
    assert (plain.source, plain.prevalence) == ("examples", 0.5)


def test_a_prompted_bundle_is_calibrated_as_well(full: Bundle, tmp_path: Path) -> None:
    """Its weights are random, so that the labels are made from its risks, an eighth of them wrong."""
    risks = np.array([each.risk for each in _risks(load_engine(full, device="cpu"), APART)])
    ill = (risks > np.median(risks)) != (np.arange(len(risks)) % 8 == 0)
    examples = [
        msgspec.structs.replace(each, at_risk=bool(said)) for each, said in zip(APART, ill, strict=True)
    ]
    told = _calibrate(full, tmp_path / "prompted", examples, share=Share(0.1, "stated"))
    bundle = Bundle.load(told.bundle)
    engine = load_engine(bundle, device="cpu")
    assert engine.identity.windowing == PROMPTED
    thresholds = bundle.thresholds_for(engine.identity)
    assert thresholds.calibration.startswith("miss<=0.2@0.8")
    cleared = hurdles(_risks(engine, examples)) < thresholds.lower
    assert int(cleared[ill].sum()) == told.statement.missed
    again = tmp_path / "again"
    adapt(told.bundle, ADAPT, again, lambda *_: None, device="cpu")  # a full bundle still, calibrated or not
    assert Bundle.load(again).manifest.reading == "pooled"


def test_a_calibrated_bundle_is_calibrated_again_from_the_start(
    calibrated: Bundle, report: CalibrateReport, tmp_path: Path
) -> None:
    told = _calibrate(calibrated, tmp_path / "again", share=Share(0.05, "stated"))
    assert (told.odds, told.lower, told.upper) == (report.odds, report.lower, report.upper)
    with pytest.raises(TaskError, match="adapted on these very examples"):
        _calibrate(calibrated, tmp_path / "seen", ADAPT)


def test_examples_that_adapt_used_are_refused_or_left_out(adapted: Bundle, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="adapted on these very examples"):
        _calibrate(adapted, tmp_path / "out", list(reversed(ADAPT)))
    mixed = [*APART, *ADAPT[:5], *APART[:3]]
    told = _calibrate(adapted, tmp_path / "mixed", mixed, adapted_on=ADAPT)
    assert (told.apart.examples, told.apart.given) == (160, 168)
    assert (told.apart.used_to_adapt, told.apart.repeated) == (5, 3)
    unknown = _calibrate(adapted, tmp_path / "unknown", mixed)
    assert (unknown.apart.examples, unknown.apart.used_to_adapt) == (165, None)
    with pytest.raises(TaskError, match="not adapted on the examples of --adapted-on"):
        _calibrate(adapted, tmp_path / "out", APART, adapted_on=APART)
    assert not (tmp_path / "out").exists()


def test_no_text_and_no_digest_of_one_is_kept(calibrated: Bundle) -> None:
    content = (calibrated.path / CALIBRATION).read_text()
    assert not any(example.text in content for example in (*ADAPT, *APART))
    kept = msgspec.json.decode(content)
    assert len(kept["name"].rpartition("-")[2]) == len(kept["adapted_on"]) == 12  # one digest for all of them


def test_an_example_of_adapt_in_another_case_was_not_kept_apart(adapted: Bundle, tmp_path: Path) -> None:
    shouted = [msgspec.structs.replace(each, text=f"  {each.text.upper()} ") for each in ADAPT[:3]]
    told = _calibrate(adapted, tmp_path / "out", [*APART, *shouted], adapted_on=ADAPT)
    assert (told.apart.used_to_adapt, told.apart.examples) == (3, len(APART))


@pytest.mark.parametrize(
    ("examples", "options", "error", "said"),
    [
        (APART[:15], {}, TaskError, r"takes 8 examples at risk, there are 7"),
        (_examples(50, 3, at_risk=True), {}, TaskError, "takes 8 examples not at risk, there are 0"),
        (_examples(50, 3, at_risk=False), {}, TaskError, "takes 8 examples at risk, there are 0"),
        ([], {}, TaskError, "there are 0"),
        (APART, {"goal": GOAL._replace(max_miss_rate=1.0)}, SettingsError, "--max-miss-rate 1:"),
        (APART, {"goal": GOAL._replace(confidence=0.0)}, SettingsError, "--confidence 0:"),
        (APART, {"share": Share(0.0, "stated")}, SettingsError, "--prevalence 0:"),
        (APART, {"share": Share(1.0, "stated")}, SettingsError, "--prevalence 1:"),
        (APART, {"traffic": ["abab"] * 199}, TaskError, "the traffic has 199"),
        (
            [*APART, msgspec.structs.replace(APART[1], at_risk=False)],
            {},
            TaskError,
            "example 2 and example 161 are one text",
        ),
    ],
)
def test_what_cannot_be_promised_is_refused_and_nothing_is_written(
    adapted: Bundle,
    tmp_path: Path,
    examples: list[LabelledExample],
    options: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        _calibrate(adapted, tmp_path / "out", examples, **options)
    assert not list(tmp_path.iterdir())


def test_examples_that_are_ranked_the_wrong_way_are_refused(adapted: Bundle, tmp_path: Path) -> None:
    wrong = [msgspec.structs.replace(each, at_risk=not each.at_risk) for each in APART]
    with pytest.raises(TaskError, match="no better than chance"):
        _calibrate(adapted, tmp_path / "out", wrong)
    assert not list(tmp_path.iterdir())


def test_a_risk_that_is_no_number_is_refused() -> None:
    class Broken(CannedEngine):
        def read(self, texts: Any) -> list[Scores]:
            return [msgspec.structs.replace(each, risk=float("nan")) for each in super().read(texts)]

    with pytest.raises(BundleError, match="gives 3 of 3 texts no risk from 0 to 1, first text 1"):
        read_all(Broken(), ["a", "b", "c"], lambda *_: None)


def test_what_the_policy_never_clears_has_no_hurdle_to_fall_below() -> None:
    plain = Scores(0.1, None, 1, truncated=False)
    kinds: list[dict[str, Any]] = [{}, {"truncated": True}, {"obfuscated": True}, {"language": "de"}]
    found = hurdles([msgspec.structs.replace(plain, **kind) for kind in kinds])
    np.testing.assert_array_equal(found, [0.1, np.inf, np.inf, np.inf])


def test_a_folder_that_exists_stays_as_it_is(adapted: Bundle, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(BundleError, match="exists already"):
        _calibrate(adapted, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_statement_of_other_thresholds_is_refused(calibrated: Bundle, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in calibrated.manifest.files:
        (copied / name).write_bytes((calibrated.path / name).read_bytes())
    kept = msgspec.json.decode((copied / CALIBRATION).read_bytes())
    (copied / CALIBRATION).write_bytes(msgspec.json.encode(kept | {"lower": kept["upper"]}))
    write_manifest(copied, calibrated.manifest)
    with pytest.raises(BundleError, match="the statement is about other thresholds"):
        Bundle.load(copied)


def test_on_a_disk_that_is_full_nothing_is_left(adapted: Bundle, tmp_path: Path) -> None:
    """Once it writes, files may not grow beyond 2 kB: the system refuses, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(stage: str, *_: int) -> None:
        if stage == "write the bundle":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))

    out = tmp_path / "made" / "out"
    try:
        with pytest.raises(BundleError, match=rf"cannot write {out}: File too large; nothing of it was kept"):
            calibrate(adapted.path, APART, out, fill, GOAL, device="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(out.parent.iterdir())
