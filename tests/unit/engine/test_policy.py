"""The policy's laws: nothing fails open, and a higher risk never gets a milder verdict."""

import math

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.bundle import Bundle, Calibration
from engine.errors import SettingsError
from engine.policy import Policy, expected_severity, primary_language, priority, verdict
from engine.scores import Scores
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import Thresholds
from tests.fakes.tiny_bundle import write_tiny_bundle
from tests.fakes.worker_app import settings
from worker.startup import policy_of

MILDEST_FIRST = ["clear", "uncertain", "at_risk"]
SHARE = st.floats(0, 1)
THRESHOLDS = st.tuples(SHARE, SHARE).map(lambda pair: Thresholds(min(pair), max(pair), "test"))
SEVERITY = st.lists(st.floats(0.01, 1), min_size=2, max_size=6).map(
    lambda weights: tuple(weight / sum(weights) for weight in weights)
)


def scores(risk: float, severity: tuple[float, ...] | None = None, *, truncated: bool = False) -> Scores:
    return Scores(risk, severity, 1, truncated)


def policy(lower: float = 0.3, upper: float = 0.7, share: float = 0.0, *languages: str) -> Policy:
    return Policy(Thresholds(lower, upper, "test"), share, frozenset(languages))


@given(THRESHOLDS, SHARE, SHARE)
def test_a_higher_risk_never_gets_a_milder_verdict(thresholds: Thresholds, one: float, other: float) -> None:
    low, high = sorted((one, other))
    rank = MILDEST_FIRST.index
    assert rank(verdict(low, thresholds)) <= rank(verdict(high, thresholds))


@pytest.mark.parametrize(
    ("risk", "expected"),
    [
        (0.0, "clear"),
        (math.nextafter(0.3, 0), "clear"),
        (0.3, "uncertain"),
        (math.nextafter(0.7, 0), "uncertain"),
        (0.7, "at_risk"),
        (1.0, "at_risk"),
        (math.nan, "at_risk"),
    ],
)
def test_a_threshold_counts_to_the_riskier_side(risk: float, expected: str) -> None:
    assert policy().verdict(risk) == expected


def test_equal_thresholds_leave_nothing_uncertain() -> None:
    assert [policy(0.5, 0.5).verdict(risk) for risk in (0.49, 0.5)] == ["clear", "at_risk"]


@given(SHARE, THRESHOLDS)
def test_a_truncated_message_is_never_clear(risk: float, thresholds: Thresholds) -> None:
    ruling = Policy(thresholds, 0.5).rule(scores(risk, truncated=True), "en", "id")
    assert ruling.verdict != "clear"
    assert ruling.needs_review
    assert "truncated" in ruling.reasons


@given(SHARE, st.sampled_from(["de", "DE-de", "ja", "enm", "x"]))
def test_a_language_the_task_does_not_cover_is_never_clear(risk: float, language: str) -> None:
    ruling = policy(0.3, 0.7, 0.5, "en").rule(scores(risk), language, "id")
    assert ruling.verdict != "clear"
    assert "unsupported_language" in ruling.reasons


@pytest.mark.parametrize("language", ["en", "EN", "en-GB", "en_US", "en-Latn-US", None, ""])
def test_regions_and_case_of_a_covered_language_are_no_doubt(language: str | None) -> None:
    assert policy(0.3, 0.7, 0.0, "en").rule(scores(0.1), language, "id").verdict == "clear"
    assert primary_language(language or "en") == "en"


@pytest.mark.parametrize("risk", [math.nan, math.inf, -math.inf])
def test_a_risk_that_is_no_number_goes_to_people_first(risk: float) -> None:
    ruling = policy(share=1.0).rule(scores(risk), None, "id")
    assert (ruling.verdict, ruling.reasons, ruling.priority) == ("uncertain", ["unscorable"], 100.0)
    assert ruling.risk == 1.0  # an event's risk must be a number
    assert not ruling.quality_sample
    assert policy().needs_severity(scores(risk), None) == (verdict(risk, policy().thresholds) != "clear")


@given(SHARE, SHARE, st.none() | SEVERITY)
@example(1.0, 1.0, (0.0, 1.0))
def test_priority_stays_in_range_and_grows_with_risk(
    one: float, other: float, severity: tuple[float, ...] | None
) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= priority(scores(low, severity)) <= priority(scores(high, severity)) <= 100.0


@given(SHARE, SEVERITY, SEVERITY)
def test_priority_grows_with_expected_severity(
    risk: float, one: tuple[float, ...], other: tuple[float, ...]
) -> None:
    mild, severe = sorted((one, other), key=expected_severity)
    assert priority(scores(risk, mild)) <= priority(scores(risk, severe))


def test_a_likely_attempt_goes_before_a_sure_indicator() -> None:
    assert priority(scores(0.6, (0.0, 0.2, 0.8))) > priority(scores(0.6, (0.0, 1.0, 0.0)))


def test_a_severity_that_is_no_number_waits_in_front() -> None:
    assert priority(scores(1.0, (math.nan, 0.5))) == 100.0


def test_what_nobody_looks_at_has_no_priority_and_a_sample_has_its_own() -> None:
    assert policy(share=0.0).rule(scores(0.1, (0.0, 1.0)), None, "id").priority == 0.0
    sampled = policy(share=1.0).rule(scores(0.1, (0.0, 1.0)), None, "id")
    assert sampled.priority == priority(scores(0.1, (0.0, 1.0))) > 0.0


def test_whatever_is_not_clear_needs_a_severity_and_a_person() -> None:
    ruling = policy(share=1.0).rule(scores(0.5), None, "id")
    assert ruling.needs_review
    assert not ruling.quality_sample  # a sample measures what is *cleared*
    assert policy().needs_severity(scores(0.5), None)
    assert policy().needs_severity(scores(0.1, truncated=True), None)
    assert not policy().needs_severity(scores(0.1), None)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 1.0])
def test_the_share_of_quality_samples_is_as_set_and_the_same_on_redelivery(share: float) -> None:
    ids = [f"label:mimamori.messages:{n % 4}:{n}" for n in range(10_000)]
    first = [policy(share=share).rule(scores(0.1), None, name) for name in ids]
    again = [policy(share=share).rule(scores(0.1), None, name) for name in ids]
    assert first == again
    sampled = [ruling for ruling in first if ruling.quality_sample]
    deviation = math.sqrt(share * (1 - share) * len(ids))
    assert abs(len(sampled) - share * len(ids)) <= 4 * deviation
    assert all(r.verdict == "clear" and r.needs_review and "quality_sample" in r.reasons for r in sampled)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("policy"))


def test_thresholds_come_from_settings_over_calibration_over_task(bundle: Bundle) -> None:
    scored_by = CannedEngine().identity
    fitted = Calibration("fitted on 50", 0.1, 0.6, 0.1, 50, 25, scored_by)
    adapted = msgspec.structs.replace(bundle, calibration=fitted)
    assert policy_of(settings(), bundle, scored_by).thresholds == Thresholds(
        0.3, 0.7, "none: the task's default thresholds"
    )
    assert policy_of(settings(), adapted, scored_by).thresholds == Thresholds(0.1, 0.6, "fitted on 50")
    assert policy_of(settings(lower=0.05), adapted, scored_by).thresholds == Thresholds(0.05, 0.6, "settings")
    assert (
        policy_of(settings(), bundle, scored_by).quality_sample_share
        == bundle.manifest.task.policy.quality_sample_share
    )
    assert policy_of(settings(quality_sample_share=0.0), bundle, scored_by).quality_sample_share == 0.0
    with pytest.raises(SettingsError, match="MIMAMORI_LOWER"):
        policy_of(settings(lower=0.9), adapted, scored_by)
