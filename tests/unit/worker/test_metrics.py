"""The catalogue: one line per metric, complete, and what is not in it cannot be counted."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.utils import floatToGoString

from schemas.events import DeadLetter, Label
from worker.telemetry.histogram import BatchHistogram
from worker.telemetry.metrics import CATALOGUE, LATENCY_BUCKETS, Metric, Metrics

# What a label may hold: small closed sets. Never an id, a text, a topic's key.
LABELS = {"verdict", "kind", "reason", "result", "station"}


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_each_line_says_what_it_is_and_what_to_do(metric: Metric) -> None:
    assert re.fullmatch(r"mimamori_[a-z_]+", metric.name)
    assert metric.meaning.endswith(".")
    assert metric.remedy.endswith(".")
    assert set(metric.labels) <= LABELS
    assert metric.name.endswith("_total") == (metric.kind is Counter)
    assert bool(metric.buckets) == (metric.kind is Histogram)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    if "Seconds" in metric.meaning:
        assert metric.name.endswith("_seconds")


def test_each_name_stands_once() -> None:
    names = [metric.name for metric in CATALOGUE]
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


def test_what_is_not_in_the_catalogue_is_refused() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.count("mimamori_invented_total")
    with pytest.raises(KeyError):
        metrics.gauge("mimamori_records_total", 1)  # a counter is no gauge
    with pytest.raises(KeyError):
        metrics.observe("mimamori_lag_records", 1)
    with pytest.raises(ValueError, match="label"):
        metrics.count("mimamori_labels_total", text="someone's words")


def test_kinds_are_those_prometheus_knows() -> None:
    assert {metric.kind for metric in CATALOGUE} == {Counter, Gauge, Histogram}
    labels = {metric.name: metric.labels for metric in CATALOGUE}
    assert labels["mimamori_labels_total"] == ("verdict",)
    assert "verdict" in Label.__struct_fields__
    assert "reason" in DeadLetter.__struct_fields__
