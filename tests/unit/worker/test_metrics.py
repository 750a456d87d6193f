"""The catalogue: one line per metric, complete, and what is not in it cannot be counted."""

import math
import re
from datetime import UTC, datetime
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from engine.drift import FLAGS, SIGNALS, Batched, Noted, compare, count, expect
from engine.policy import Policy
from engine.scores import Scores
from review.catalogue import CATALOGUE as DESK
from schemas.events import DeadLetter, Label, Origin, Thresholds
from schemas.metrics import Metric, MetricKind
from worker.telemetry.catalogue import CATALOGUE, LATENCY_BUCKETS, catalogue
from worker.telemetry.drift import batch_of, noted_of
from worker.telemetry.histogram import BatchHistogram
from worker.telemetry.metrics import Metrics
from worker.telemetry.names import MetricName

# What a label may hold: small closed sets. Never an id, a text, a topic's key.
LABELS = {"verdict", "kind", "reason", "result", "station", "signal"}
LABELS |= {"engine", "device", "precision", "bundle", "task", "reading"}  # of the worker itself
LABELS |= {"depth"}  # how many layers a network has, at most
LABELS |= {"outcome", "because", "what", "finding", "type", "status", "level"}  # of the desk
BUNDLE = "0" * 64
THEN = datetime(2026, 3, 14, tzinfo=UTC)
EVERY = tuple(dict.fromkeys((*CATALOGUE, *catalogue(shadow=True), *DESK)))


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_each_line_says_what_it_is_and_what_to_do(metric: Metric) -> None:
    assert re.fullmatch(r"mimamori_[a-z_]+", metric.name)
    assert metric.meaning.endswith(".")
    assert metric.remedy.endswith(".")
    assert set(metric.labels) <= LABELS
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert not metric.values or len(metric.labels) == 1
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert ("Seconds" in metric.meaning) == (metric.unit == "seconds") == metric.name.endswith("_seconds")


def test_each_name_stands_once() -> None:
    names = [metric.name for metric in (*CATALOGUE, *DESK)]
    assert len(set(names)) == len(names)


def test_what_is_counted_is_exposed() -> None:
    metrics = Metrics()
    metrics.count("mimamori_records_total", 3)
    metrics.count("mimamori_labels_total", verdict="clear")
    metrics.gauge("mimamori_lag_records", 7)
    metrics.observe("mimamori_station_seconds", 0.2, station="screener")
    metrics.observe_all("mimamori_latency_seconds", [0.002, 0.005, 0.006, 7200.0])
    page = generate_latest(metrics.registry).decode()
    assert "mimamori_records_total 3.0" in page
    assert 'mimamori_labels_total{verdict="clear"} 1.0' in page
    assert "mimamori_lag_records 7.0" in page
    assert 'mimamori_station_seconds_count{station="screener"} 1.0' in page
    assert 'mimamori_latency_seconds_bucket{le="0.005"} 2.0' in page


@given(st.lists(st.lists(st.floats(0, 1e4), max_size=20), max_size=5))
def test_a_batch_counts_as_its_values_one_by_one_would(batches: list[list[float]]) -> None:
    registry, theirs = CollectorRegistry(), CollectorRegistry()
    ours = BatchHistogram("spread", "Meaning.", LATENCY_BUCKETS, registry)
    histogram = Histogram("spread", "Meaning.", registry=theirs, buckets=LATENCY_BUCKETS)
    for batch in batches:
        ours.observe(batch)
        for value in batch:
            histogram.observe(value)
    for bound in (*map(floatToGoString, LATENCY_BUCKETS), "+Inf"):
        name, labels = "spread_bucket", {"le": bound}
        assert registry.get_sample_value(name, labels) == theirs.get_sample_value(name, labels)
    assert registry.get_sample_value("spread_count") == theirs.get_sample_value("spread_count")
    assert registry.get_sample_value("spread_sum") == pytest.approx(theirs.get_sample_value("spread_sum"))


def test_two_workers_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.count("mimamori_records_total")
    assert "mimamori_records_total 0.0" in generate_latest(other.registry).decode()


def test_the_catalogue_has_every_name_that_the_code_may_count_and_no_other() -> None:
    unions = [get_args(part) for part in get_args(MetricName)]
    every = {metric.name for metric in (*CATALOGUE, *catalogue(shadow=True))}
    assert sorted(every) == sorted(name for part in unions for name in part)
    assert len(CATALOGUE) == len({metric.name for metric in CATALOGUE})


def test_a_misspelt_name_label_or_value_is_a_type_error_and_raises() -> None:
    metrics = Metrics()  # mypy says when one of these ignores is not needed: then nothing would hold it
    with pytest.raises(KeyError):
        metrics.count("mimamori_invented_total")  # type: ignore[call-overload]
    with pytest.raises(KeyError):
        metrics.gauge("mimamori_records_total", 1)  # type: ignore[arg-type] # a counter is no gauge
    with pytest.raises(KeyError):
        metrics.observe("mimamori_lag_records", 1, station="screener")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label"):
        metrics.count("mimamori_labels_total", text="someone's words")  # type: ignore[call-overload]
    metrics.count("mimamori_labels_total", verdict="fine")  # type: ignore[call-overload]


def test_what_runs_can_be_asked_of_the_page() -> None:
    metrics = Metrics()
    metrics.engine(
        engine="cpu fp32, 2 threads",
        device="cpu",
        precision="fp32",
        bundle=BUNDLE,
        task="stress",
        reading="pooled",
    )
    (family,) = [
        family
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        if family.name == "mimamori_engine_info"
    ]
    (sample,) = family.samples
    assert (sample.name, sample.value) == ("mimamori_engine_info", 1)
    (line,) = [metric for metric in CATALOGUE if metric.name == sample.name]
    assert set(sample.labels) == set(line.labels)
    assert sample.labels["engine"] == "cpu fp32, 2 threads"
    # Exposed before the first label, as `increase` does not see what a series that is new counted before.
    found = {"task": "stress", "bundle": BUNDLE, "verdict": "uncertain"}
    assert metrics.registry.get_sample_value("mimamori_labels_by_bundle_total", found) == 0


def test_kinds_are_those_prometheus_knows() -> None:
    assert {metric.kind for metric in CATALOGUE} == set(get_args(MetricKind))
    labels = {metric.name: metric.labels for metric in CATALOGUE}
    assert labels["mimamori_labels_total"] == ("verdict",)
    assert "verdict" in Label.__struct_fields__
    assert "reason" in DeadLetter.__struct_fields__


def noted(number: int, risk: float, *, obfuscated: bool = False) -> list[Noted]:
    """Messages with risks around one."""
    return [Noted(risk + 0.01 * (at % 10), 1, False, False, obfuscated, 10 + at) for at in range(number)]


def screen(metrics: Metrics, messages: list[Noted], bundle: str = BUNDLE) -> None:
    columns = {name: [getattr(each, name) for each in messages] for name in SIGNALS}
    values = {name: columns[name] for name in SIGNALS if name not in FLAGS}
    metrics.screened(bundle, Batched(len(messages), values, {name: sum(columns[name]) for name in FLAGS}))


def test_a_batch_is_noted_as_its_messages_are_one_by_one() -> None:
    """Whatever doubts there are: those of the policy, for every risk and with a sample for quality."""
    policy = Policy(Thresholds(0.3, 0.7, "test"), quality_sample_share=0.5, languages=frozenset({"en"}))
    labels, lengths = [], []
    for number, (risk, truncated, hidden, language) in enumerate(
        product((0.1, 0.5, 0.9, math.nan), (False, True), (False, True), (None, "ru-Cyrl"))
    ):
        scores = Scores(risk, None, 1 + number % 9, truncated, hidden, language)
        ruling = policy.rule(scores, None, f"label:{number}")
        labels.append(
            Label(
                f"label:{number}", "m", Origin("t", 0, number), "stress", ruling.verdict, ruling.risk, None,
                ruling.reasons, policy.thresholds, "pooled", BUNDLE, scores.windows, truncated, False, THEN,
            )
        )  # fmt: skip
        lengths.append(17 * number)
    singly = [noted_of(label, length) for label, length in zip(labels, lengths, strict=True)]
    bins = {name: binned.edges for name, binned in expect(singly).signals.items()}
    batch = batch_of(labels, lengths)
    expected = {name: list(binned.counts) for name, binned in count(singly, bins).items()}
    assert {name: batch.in_bins(name, bins[name]).tolist() for name in SIGNALS} == expected
    assert all(min(expected[flag]) > 0 for flag in FLAGS)


def psi(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("mimamori_drift_psi", {"task": "stress", "signal": "risk"})


def test_the_drift_of_the_last_messages_is_exposed_and_slides() -> None:
    metrics = Metrics()
    metrics.expect("stress", BUNDLE, expect(noted(1000, 0.1)), 600)
    screen(metrics, noted(499, 0.1))
    assert psi(metrics) is None  # too few to say
    for _ in range(3):
        screen(metrics, noted(100, 0.1))
    assert psi(metrics) == pytest.approx(0.0, abs=0.01)
    for _ in range(3):
        screen(metrics, noted(100, 0.7, obfuscated=True))
    half = psi(metrics)
    for _ in range(3):
        screen(metrics, noted(100, 0.7, obfuscated=True))
    assert psi(metrics) == pytest.approx(psi_of_all(), rel=0.01)
    assert half is not None
    assert 0.25 < half < psi_of_all()
    assert metrics.registry.get_sample_value("mimamori_doubts_total", {"reason": "obfuscated"}) == 600
    assert metrics.registry.get_sample_value("mimamori_risk_count") == 499 + 900
    assert metrics.registry.get_sample_value("mimamori_risk_bucket", {"le": "0.5"}) == 799


def test_each_bundle_has_a_window_of_its_own_and_a_canary_none() -> None:
    metrics = Metrics()
    metrics.expect("stress", BUNDLE, expect(noted(1000, 0.1)), 600)
    screen(metrics, noted(600, 0.9), "of a canary")
    assert psi(metrics) is None
    screen(metrics, noted(600, 0.1))
    assert psi(metrics) == pytest.approx(0.0, abs=0.01)


def psi_of_all() -> float:
    """The PSI where every message of the window has moved."""
    then = expect(noted(1000, 0.1)).signals
    now = count(noted(600, 0.7), {"risk": then["risk"].edges})
    return compare(then, now)[0].psi


def test_without_expectations_there_is_no_gauge() -> None:
    metrics = Metrics()
    screen(metrics, noted(2000, 0.1))
    assert psi(metrics) is None
