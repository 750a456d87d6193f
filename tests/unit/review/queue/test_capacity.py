"""What people at work can take: the pressure, the forecast, the share of samples."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from review.queue.capacity import (
    Backlogs,
    Forecast,
    forecast,
    pressure,
    reviewers_missing,
    sample_every,
)
from review.queue.flow import Flow, Pace
from review.queue.index import QueueIndex
from review.queue.order import Filter
from review.queue.take import Taking
from review.queue.turns import Turns
from review.queue.urgency import Lane, Law, lane_of
from tests.unit.review.queue.waiting_cases import ANA, HOUR, LEVELS, NOW, made

LAW = Law()
LOW, MODERATE, HIGH = (Lane("stress", "escalation", level, rank) for level, rank in LEVELS.items())
SAMPLES = Lane("stress", "quality_sample", None, 0.0)


def pace(each: float | None = 10.0, at_work: int = 2, **arrivals: float) -> Pace:
    lanes = {"low": LOW, "moderate": MODERATE, "high": HIGH, "samples": SAMPLES}
    return Pace(3600.0, {lanes[name]: rate for name, rate in arrivals.items()}, 20, each, at_work)


def seen(backlogs: Backlogs, going: Pace, hours: float = 24.0) -> Forecast:
    return forecast(backlogs, going, LAW, NOW, hours=hours, sample_every=10, due_every=10)


def test_the_pace_is_counted_over_the_window_and_by_the_time_that_people_worked() -> None:
    flow = Flow(window=3600, stretch=900)
    for number in range(30):
        flow.arrived(f"case:{number}", LOW if number < 20 else HIGH, NOW - number * 100)
    flow.arrived("case:old", LOW, NOW - 3601)
    for person, minutes in (("ana", range(0, 15, 3)), ("ben", range(45, 50))):
        for minute in minutes:
            flow.decided(f"decision:{person}:{minute}", person, NOW - minute * 60 - 1)
    going = flow.pace(NOW)
    assert going.arrivals == {LOW: 20.0, HIGH: 10.0}
    assert going.decisions == 10
    assert going.at_work == 1
    # Ten decisions in the quarters of an hour in which somebody decided; Ana alone goes on.
    assert going.each is not None
    assert 10 <= going.each <= 20
    assert going.rate == going.each


def test_what_is_noted_again_after_a_restart_counts_once() -> None:
    flow, again = Flow(window=3600, stretch=900), Flow(window=3600, stretch=900)
    for told, times in ((flow, 1), (again, 3)):
        for _ in range(times):
            told.arrived("case:1", LOW, NOW - 5)
            told.decided("decision:1", "ana", NOW - 4)
            told.worked("ana", NOW - 3)
    assert flow.pace(NOW) == again.pace(NOW)


def test_nobody_has_decided_anything_yet() -> None:
    flow = Flow(window=3600, stretch=900)
    flow.worked("ana", NOW - 10)
    assert (flow.pace(NOW).each, flow.pace(NOW).rate, flow.pace(NOW).at_work) == (None, 0.0, 1)
    assert flow.pace(NOW + 900).at_work == 0


def test_up_to_a_pressure_of_one_every_deadline_is_kept() -> None:
    backlogs = {HIGH: [NOW - 60 * n for n in range(9, -1, -1)], LOW: [NOW - HOUR] * 300}
    going = pace(high=2, moderate=4, low=4)
    assert pressure(backlogs, going, LAW, NOW) <= 1
    assert seen(backlogs, going).missed == 0


def test_the_pressure_is_what_is_due_against_what_can_be_decided() -> None:
    assert pressure({HIGH: [NOW] * 40}, pace(), LAW, NOW) == 2.0  # 40 within the hour, and 20 decided
    assert pressure({}, pace(high=100), LAW, NOW) == pytest.approx(5, rel=0.02)
    assert pressure({}, pace(each=None), LAW, NOW) == 0.0
    assert pressure({LOW: [NOW]}, pace(each=None), LAW, NOW) == float("inf")
    assert pressure({SAMPLES: [NOW - 99 * HOUR] * 999}, pace(), LAW, NOW) == 0.0


@settings(max_examples=100)
@given(st.floats(0, 10), st.floats(0, 10), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_the_share_of_samples_falls_with_the_pressure_within_its_bounds_and_is_never_nothing(
    calm: float, more: float, one: float, other: float
) -> None:
    least, most = sorted((one, other))
    before, after = (sample_every(under, most=most, least=least) for under in (calm, calm + more))
    assert round(1 / most) <= before <= after <= round(1 / least)
    assert sample_every(float("inf"), most=most, least=least) == round(1 / least)


def test_the_forecast_is_what_then_happens() -> None:
    """The queue itself is worked for half a day at the pace that the forecast was made for."""
    waits = [
        made(n, level=level, uncertainty=0.5, since=NOW - 600 * n)
        for n, level in enumerate(["low"] * 60 + ["moderate"] * 40 + ["high"] * 20)
    ]
    index = QueueIndex(LAW)
    for one in waits:
        index.put(one)
    backlogs = {lane: sorted(since) for lane, since in index.waiting_since()}
    going = pace(each=5, at_work=2, high=2, moderate=6, low=6)
    said = forecast(backlogs, going, LAW, NOW, hours=12, sample_every=10**9, due_every=10)

    take = Taking(index, Turns(sample_every=10**9, due_every=10))
    late: dict[str | None, list[float]] = {level: [] for level in LEVELS}
    arriving = sorted(
        (NOW + (n + 1) * 3600 / rate, lane.level)
        for lane, rate in going.arrivals.items()
        for n in range(int(rate * 12))
    )
    number = 1000
    for decision in range(1, 121):
        at = NOW + decision * 360.0
        while arriving and arriving[0][0] <= at:
            since, level = arriving.pop(0)
            index.put(made(number := number + 1, level=level, uncertainty=0.5, since=since))
        entry = take.take_next(ANA, Filter(), at)
        assert entry is not None
        index.drop(entry.id)
        late[entry.level].append(at - LAW.due(entry))
    horizon = NOW + 12 * HOUR
    for left in map(index.get, [made(n).id for n in range(number + 1)]):
        if left is not None:
            late[left.level].append(horizon - LAW.due(left))

    for lane in said.lanes:
        missed = [seconds for seconds in late[lane.lane.level] if seconds > 0]
        assert lane.missed == pytest.approx(len(missed), abs=2)
        assert lane.hours_late == pytest.approx(sum(missed) / 3600, rel=0.05, abs=1)
    assert said.missed > 100


def test_a_case_that_is_late_and_undecided_counts_until_the_horizon() -> None:
    said = seen({LOW: [NOW - 25 * HOUR, NOW - 20 * HOUR]}, pace(each=None), hours=10)
    (lane,) = said.lanes
    assert (lane.waiting, lane.overdue, lane.missed) == (2, 1, 2)
    assert lane.hours_late == pytest.approx(11 + 6)
    assert lane.first_miss == NOW + 4 * HOUR


def test_samples_get_their_share_in_the_forecast_and_miss_no_deadline() -> None:
    said = seen({SAMPLES: [NOW - 80 * HOUR] * 100, HIGH: [NOW] * 50}, pace(high=30))
    assert said.missed == next(lane.missed for lane in said.lanes if lane.lane == HIGH)
    assert next(lane for lane in said.lanes if lane.lane == SAMPLES) not in said.delayed


def test_it_says_how_many_more_people_would_keep_the_deadlines() -> None:
    going = pace(high=3, low=30)
    rush = seen({HIGH: [NOW - HOUR] * 30, LOW: [NOW - 20 * HOUR] * 600}, going)
    missing = reviewers_missing(rush)
    assert missing
    enough = Pace(going.window, going.arrivals, going.decisions, going.each, going.at_work + missing)
    assert pressure({HIGH: [NOW - HOUR] * 30, LOW: [NOW - 20 * HOUR] * 600}, enough, LAW, NOW) <= 1
    assert reviewers_missing(seen({LOW: [NOW]}, pace(low=1, at_work=1))) == 0
    assert reviewers_missing(seen({HIGH: [NOW]}, pace(each=None, at_work=0))) is None


def test_a_hundred_thousand_cases_are_forecast_and_none_is_dropped() -> None:
    backlogs = {LOW: [NOW - n for n in range(70_000, 0, -1)], HIGH: [NOW - n for n in range(30_000, 0, -1)]}
    said = seen(backlogs, pace(each=15, at_work=20, high=5))
    assert sum(lane.waiting for lane in said.lanes) == 100_000
    assert said.missed_severe > 20_000
    assert {lane_of(made(1, level="low")), HIGH} == {lane.lane for lane in said.lanes}
