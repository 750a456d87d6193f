"""What bench/stream.py reads and reckons is what it says: else its figures would mean nothing."""

import subprocess
import sys
from collections import Counter

import pytest

from bench.yardstick import corpus
from bench.yardstick.course import cpu_seconds_beside
from bench.yardstick.real_engine import RealEngine
from bench.yardstick.ride import Ride, Sample
from bench.yardstick.scaling import steady
from bench.yardstick.stream_page import markdown
from bench.yardstick.stream_report import BARE, OURS, PLAIN, StreamReport
from worker.errors import RecordError
from worker.stream.decode import decode


def test_each_malformed_record_is_refused_for_the_reason_the_benchmark_expects() -> None:
    reasons: Counter[str] = Counter()
    for _, value in corpus.malformed(1000):
        with pytest.raises(RecordError) as refusal:
            decode(value, frozenset(), 100_000)
        reasons[refusal.value.reason] += 1
    assert reasons == corpus.expected_reasons(1000)


def test_repeated_messages_repeat_and_distinct_ones_never_do() -> None:
    def texts(pairs: corpus.Pairs) -> list[str]:
        return [decode(value, frozenset(), 100_000).text for _, value in pairs]

    assert len(set(texts(corpus.repeated(5000)))) <= corpus.REPEATED
    assert len(set(texts(corpus.distinct(5000)))) == 5000
    assert texts(corpus.distinct(50)) == texts(corpus.distinct(50))  # every run has the same


def report() -> StreamReport:
    found = StreamReport({"cpu": "a CPU", "cores": 2}, 1000)
    rates = {(OURS, "repeated"): 60, (PLAIN, "repeated"): 64, (BARE, "repeated"): 100, (OURS, "distinct"): 6}
    for (name, mix), rate in rates.items():
        for spread in (-1, 0, 9):
            found.note(name, mix, Ride(rate + spread, 0.02, 1000, 0, 0))
    return found


def test_ratios_are_of_medians_and_of_what_was_measured_alone() -> None:
    ratios = {what: ratio for what, ratio, _ in report().ratios()}
    assert ratios == {
        "cache hits, exactly-once, over confluent-kafka (a commit per 5,000)": 0.6,
        "exactly-once over at-least-once": 60 / 64,
    }


def test_the_page_has_every_lane_its_spread_and_its_ratios() -> None:
    page = markdown(report(), "python -m bench.stream")
    assert "| **mimamori** | repeated | 60 (59-69) | 20.0 | 0 |" in page
    assert page.index("| mimamori at-least-once |") < page.index("| confluent-kafka |")
    assert "0.60 | 0.5 or more" in page


def test_the_constants_are_those_of_the_run() -> None:
    constants = report().constants("python -m bench.stream")
    assert constants["stream"]["cached_records_per_s"] == 60
    assert constants["stream"]["fresh_records_per_s"] == 6
    assert "device" not in constants  # no engine was measured: what was known of it stays


def test_a_scaling_rate_leaves_out_who_joins_and_who_ends() -> None:
    slow_start = [Sample(0.0, 1, 0.0), Sample(100.0, 300, 0.0)]
    middle = [Sample(101.0, 500, 0.0), Sample(102.5, 800, 0.0)]
    slow_end = [Sample(200.0, 1000, 0.0)]
    assert steady(slow_start + middle + slow_end, 1000) == 200.0


def test_the_engine_is_compared_within_a_round() -> None:
    found = report()
    found.engine = RealEngine(
        messages=100,
        stream=[50.0, 90.0],
        offline=[100.0, 100.0],
        stream_cpu=[10.0, 20.0],
        offline_cpu=[9.0, 18.0],
        beside=[0.1, 0.3],
    )
    assert found.engine.ratio == pytest.approx(0.7)
    assert found.engine.cpu_ratio == pytest.approx(0.9)
    page = markdown(found, "python -m bench.stream")
    assert "15.0 ms of CPU time in the worker and 13.5 offline: 0.90 of the offline rate" in page
    assert "used 0.20 of the 2 cores meanwhile" in page


def test_the_time_of_a_child_counts_unless_it_is_left_out() -> None:
    spin = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", spin]) as child:
        while cpu_seconds_beside([]) - cpu_seconds_beside([child.pid]) < 0.1:
            assert child.poll() is None
        child.kill()
