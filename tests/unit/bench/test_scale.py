"""Laws of the simulation behind docs/explanation/scale.md, and of its arithmetic."""

import json
import math
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scale import limits
from bench.scale.arrivals import Burst, Counted, Exact, Traffic, counted, exact
from bench.scale.calibration import calibrated, undelayed
from bench.scale.fleet import Fault, Fleet, Group, simulate
from bench.scale.keda import Autoscaler, Policy, Scaling
from bench.scale.page import markdown
from bench.scale.result import Waits
from bench.scale.spans import Took
from bench.scale.station import Worker

PAGE: Final = Path(__file__).parents[3] / "docs" / "benchmarks" / "scale.md"
CONCLUSIONS: Final = PAGE.parents[1] / "explanation" / "scale.md"
GROUP: Final = Group(gap_s=1.0, session_s=3.0, start_s=5.0)

few_seconds = st.floats(0.05, 20.0)
moments = st.lists(st.floats(0.0, 20.0), max_size=60).map(lambda times: np.array(sorted(times)))
arrivals = st.lists(moments, min_size=1, max_size=5).map(lambda times: Exact(times, 20.0))
workers = st.builds(
    Worker,
    batch_s=st.floats(0.0, 0.3),
    message_s=st.floats(0.001, 0.3),
    commit_s=st.floats(0.0, 0.3),
    most_records=st.integers(1, 30),
)
faults = st.lists(
    st.builds(Fault, few_seconds, st.sampled_from(("kill", "roll")), st.integers(1, 2)), max_size=3
)


@pytest.mark.parametrize(("load", "tolerance"), [(0.3, 0.02), (0.7, 0.05)])
def test_one_worker_waits_as_pollaczek_and_khinchine_say(load: float, tolerance: float) -> None:
    service_s = 0.01
    worker = Worker(batch_s=0.0, message_s=service_s, commit_s=0.0, most_records=1)
    fleet = Fleet(exact(Traffic(rate=load / service_s, seconds=150.0), 1, seed=3), worker, 1, GROUP)
    outcome = fleet.run(60.0)

    in_system = service_s * (1 + load / (2 * (1 - load)))  # M/D/1
    assert fleet.waits.mean == pytest.approx(in_system, rel=tolerance)
    assert outcome.utilisation == pytest.approx(load, rel=0.03)


def test_a_batch_of_all_that_waits_costs_its_price_once() -> None:
    """Two messages wait while a third is read: they are read together."""
    fleet = Fleet(
        Exact([np.array([0.0, 0.1, 0.2])], 1.0),
        Worker(batch_s=1.0, message_s=0.1, commit_s=0.05, wait_s=0.5),
        1,
        GROUP,
    )
    fleet.run(10.0)
    assert fleet.waits.mean == pytest.approx((1.15 + (2.35 - 0.1) + (2.35 - 0.2)) / 3)


def waited(times: list[float], worker: Worker) -> list[float]:
    """How long each message waits, of one partition and one worker, in order."""
    fleet = Fleet(Exact([np.array(times)], 1.0), worker, 1, GROUP)
    found: list[float] = []
    fleet.waits.note = lambda seconds, _=1.0: found.append(seconds)  # type: ignore[assignment, method-assign]
    fleet.run(10.0)
    return found


def test_while_one_batch_is_in_flight_the_next_waits_until_its_first_message_is_old() -> None:
    worker = Worker(batch_s=1.0, message_s=1e-9, wait_s=0.05)
    # Closed at 0.15, with both; the last one is in a batch of its own.
    assert waited([0.0, 0.1, 0.14, 0.16], worker) == pytest.approx([1.0, 1.9, 1.86, 2.84])


def test_the_outbox_commits_one_batch_after_the_other_and_a_third_waits_for_the_first() -> None:
    worker = Worker(batch_s=0.1, message_s=1e-9, commit_s=1.0, wait_s=0.01)
    # Committed at 1.1, 2.1 and 3.1. Without the outbox's queue the second would be at 1.31.
    assert waited([0.0, 0.2, 0.4], worker) == pytest.approx([1.1, 1.9, 2.7])
    # In a pair of batches there is no room for more: the last three are one batch.
    late = waited([0.0, 0.2, 0.4, 0.6, 0.8], worker)
    assert late[2:] == pytest.approx([2.7, 2.5, 2.3])


def test_no_more_batches_are_in_hand_than_a_worker_holds() -> None:
    """Full ones too: what a worker has in hand is read again by its successor, and holds up its end."""
    worker = Worker(batch_s=1.0, message_s=1e-9, most_records=1, most_batches=3)
    fleet = Fleet(Exact([np.zeros(10)], 1.0), worker, 1, GROUP)
    fleet._env.run(0.5)
    (member,) = fleet._members.values()
    assert member.reached == {0: 3}


def test_what_varies_is_drawn_for_each_batch() -> None:
    worker = Worker(batch_s=0.01, message_s=1e-9, read_more=(0.0, 0.5), commit_more=(0.0, -1.0, 3.0))
    waits = waited([3.9 * at / 200 for at in range(200)], msgspec.structs.replace(worker, commit_more=()))
    assert min(waits) == pytest.approx(0.01, abs=1e-3)
    assert max(waits) > 0.5
    assert min(waited([0.0, 0.5], worker)) >= 0.01  # nothing is quicker than nothing


def test_a_batch_that_was_opened_while_another_was_in_flight_says_nothing_of_its_own_work() -> None:
    batches = [Took(1, at, at, at, at, at + 0.1) for at in (0.0, 0.05, 0.14, 0.3, 0.41)]
    assert [each.opened for each in undelayed(batches)] == [0.0, 0.3, 0.41]


def test_a_calibration_finds_what_the_stations_of_a_worker_took() -> None:
    truth = Worker(
        batch_s=0.007, message_s=0.002, commit_s=0.004, commit_message_s=1e-5, transit_s=0.003, wait_s=0.05
    )

    def took(messages: int, late: float = 0.0) -> Took:
        screening = 0.002
        screened = screening + 0.005 + messages * truth.message_s
        committing = screened + 0.001
        return Took(
            messages, 0.0, screening, screened, committing, committing + 0.003 + messages * 1e-5 + late
        )

    alone, mixed, flood = [took(1)] * 9, [took(20), took(7, 0.04)], [took(500), took(900)]
    found = calibrated(alone, mixed, flood, waited_s=alone[0].committed + truth.transit_s).worker
    for name in ("batch_s", "message_s", "commit_s", "commit_message_s", "transit_s"):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), abs=1e-5), name
    assert sorted(found.commit_more) == pytest.approx([0.0] * 10 + [0.04], abs=1e-6)
    assert found.read_more == pytest.approx([0.0] * 11, abs=1e-6)
    other = calibrated(alone, mixed, flood, 0.02).varying_as([took(3), took(4, 0.2)])
    assert other.commit_more == pytest.approx([0.0, 0.2], abs=1e-6)
    assert (other.commit_s, other.message_s) == (found.commit_s, found.message_s)


@settings(max_examples=40)
@given(arrivals, workers, st.integers(1, 4), faults)
def test_every_message_is_labelled_once_whatever_dies(
    coming: Exact, worker: Worker, count: int, troubles: list[Fault]
) -> None:
    fleet = Fleet(coming, worker, count, GROUP, troubles)
    outcome = fleet.run(600.0)

    assert outcome.labelled == outcome.messages == coming.total()
    assert fleet.waits.count == pytest.approx(coming.total())
    assert outcome.looks[0].workers == count
    if coming.total():  # nothing is quicker than reading one message
        assert outcome.p50 >= (worker.batch_s + worker.message_s + worker.commit_s) * 0.97


@settings(max_examples=40)
@given(moments.filter(lambda times: len(times) > 0), st.floats(0.01, 0.5), st.floats(1.0, 3.0))
def test_a_slower_worker_makes_nobody_wait_less(
    times: np.ndarray[tuple[int], np.dtype[np.float64]], message_s: float, slower: float
) -> None:
    """One message at a time: only there it holds without exception."""

    def mean(seconds: float) -> float:
        worker = Worker(batch_s=0.0, message_s=seconds, commit_s=0.0, most_records=1)
        fleet = Fleet(Exact([times], 20.0), worker, 1, GROUP)
        fleet.run(600.0)
        return fleet.waits.mean

    assert mean(message_s * slower) >= mean(message_s) - 1e-9


def test_a_dead_workers_partitions_wait_for_its_session_and_the_rebalance() -> None:
    worker = Worker(batch_s=0.0, message_s=0.001, commit_s=0.0)
    coming = counted(Traffic(rate=100.0, seconds=30.0), 2, seed=1)
    calm = simulate(coming, worker, 2, GROUP)
    killed = simulate(coming, worker, 2, GROUP, [Fault(10.0, "kill", 1, back=False)])

    stood_s = GROUP.session_s + GROUP.gap_s
    assert calm.p99 < 0.1
    assert stood_s * 0.8 < killed.p99 < stood_s * 1.1
    assert killed.worst_lag == pytest.approx(50 * stood_s, rel=0.25)
    assert killed.calm_after(10.0, lag=20) == pytest.approx(stood_s, abs=1.5)
    assert [look.workers for look in killed.looks if 11 < look.at < 29] == [1] * 17


def test_a_conversation_faster_than_a_worker_is_never_caught_up_with() -> None:
    worker = Worker(batch_s=0.0, message_s=0.01, commit_s=0.0)
    coming = counted(Traffic(rate=40.0, seconds=60.0, hot=200.0, hot_at=10.0), 8, seed=1)
    outcome = simulate(coming, worker, 8, GROUP, patience_s=0.0)
    assert outcome.looks[-1].lag > 0.8 * (200 - 100) * 50  # eight workers, and one partition
    assert outcome.calm_after(10.0, lag=200) == math.inf


@given(
    st.integers(1, 4), st.integers(0, 2**32), st.floats(1.0, 200.0), st.floats(1.0, 5.0), st.integers(1, 300)
)
@settings(max_examples=40)
def test_when_a_message_came_and_how_many_have_come_agree(
    partitions: int, seed: int, rate: float, flurry: float, number: int
) -> None:
    drawn = counted(Traffic(rate=rate, seconds=10.0, flurry=flurry), partitions, seed)
    when = drawn.when(0, number)
    if when == math.inf:
        assert drawn.by(0, 1e9) < number
    else:
        assert drawn.by(0, when + 1e-6) >= number > drawn.by(0, when - 1e-3) - 1
    assert drawn.by(0, -0.0) == 0
    again = counted(Traffic(rate=rate, seconds=10.0, flurry=flurry), partitions, seed)
    assert drawn.total() == again.total()


def test_arrivals_are_as_many_as_their_rates_say() -> None:
    burst = Burst(10.0, 10.0, 3.0)
    drawn = counted(Traffic(rate=1000.0, seconds=100.0, bursts=(burst,), flurry=4.0), 10, seed=5)
    whole = sum(drawn.by(place, 1e9) for place in range(10))
    during = sum(drawn.by(place, 20.0) - drawn.by(place, 10.0) for place in range(10))
    assert whole == drawn.total() == pytest.approx(120_000, rel=0.02)
    assert during == pytest.approx(30_000, rel=0.04)


def test_messages_within_a_step_come_evenly() -> None:
    drawn = Counted(np.array([[4, 0, 2]]), 1.0)
    assert [drawn.when(0, number) for number in range(1, 8)] == [0.25, 0.5, 0.75, 1.0, 2.5, 3.0, math.inf]
    assert [drawn.by(0, at) for at in (0.5, 1.0, 1.9, 2.5, 9.0)] == [2, 4, 4, 5, 6]


def test_quantiles_are_those_of_what_was_noted() -> None:
    waits = Waits()
    for number in range(1, 1001):
        waits.note(number / 1000)
    assert waits.mean == pytest.approx(0.5005)
    assert waits.quantile(0.5) == pytest.approx(0.5, rel=0.024)
    assert waits.quantile(0.99) == pytest.approx(0.99, rel=0.024)


class TestAutoscaler:
    scaling = Scaling(lag_threshold=100, least=1, most=20, up_window_s=30, down_window_s=60)

    def test_it_adds_as_many_as_the_policy_allows_once_the_lag_has_lasted(self) -> None:
        asked = Autoscaler(self.scaling, 2)
        assert asked.ask(0.0, lag=200, current=2) == 2
        assert asked.ask(15.0, lag=2000, current=2) == 2  # 30 s ago it was calm
        assert asked.ask(30.0, lag=2000, current=2) == 2
        assert asked.ask(46.0, lag=2000, current=2) == 4  # two pods a minute
        assert asked.ask(61.0, lag=2000, current=4) == 4
        assert asked.ask(107.0, lag=2000, current=4) == 6

    def test_a_policy_by_shares_keeps_up_with_a_large_fleet(self) -> None:
        fast = Scaling(lag_threshold=100, most=500, up=Policy(2, 60.0, share=0.5), up_window_s=0)
        assert Autoscaler(fast, 100).ask(0.0, lag=20_000, current=100) == 150

    def test_a_small_difference_changes_nothing(self) -> None:
        assert Autoscaler(self.scaling, 10).ask(0.0, lag=1099, current=10) == 10
        assert Autoscaler(self.scaling, 10).ask(0.0, lag=901, current=10) == 10

    def test_it_takes_one_away_after_the_window(self) -> None:
        asked = Autoscaler(self.scaling, 10)
        sizes = [10]
        for step in range(17):
            lag = 1000 if step == 0 else 0
            sizes.append(asked.ask(15.0 * step, lag=lag, current=sizes[-1]))
        assert sizes[5] == 10  # it was busy a minute ago
        assert sizes[6:] == [9] * 8 + [8] * 4  # one pod in two minutes

    @given(st.lists(st.floats(0, 1e6), max_size=40))
    def test_it_never_leaves_its_bounds(self, lags: list[float]) -> None:
        asked, current = Autoscaler(self.scaling, 5), 5
        for step, lag in enumerate(lags):
            current = asked.ask(15.0 * step, lag, current)
            assert self.scaling.least <= current <= self.scaling.most


def test_the_fleet_follows_the_autoscaler() -> None:
    worker = Worker(batch_s=0.0, message_s=0.1, commit_s=0.0)
    scaling = Scaling(lag_threshold=50, least=1, most=4, up_window_s=0, down_window_s=30)
    coming = counted(Traffic(rate=25.0, seconds=400.0), 8, seed=2)
    outcome = simulate(coming, worker, 1, Group(gap_s=1.0, start_s=10.0), scaling=scaling)
    assert 3 <= outcome.most_workers <= 4
    assert outcome.labelled == outcome.messages


def test_people_are_the_first_limit() -> None:
    known = json.loads(PAGE.with_suffix(".json").read_text())
    needed = {part.name: part.needed(10_000) for part in limits.parts(known)}
    assert needed["people"] == pytest.approx(10_000 * limits.ESCALATED * limits.LOOK_S)
    assert limits.workers(1_000_000, limits.GPU) == math.ceil(1e6 / (limits.GPU.rate() * 0.7))


def test_the_conclusions_quote_the_page() -> None:
    known = json.loads(PAGE.with_suffix(".json").read_text())
    said = " ".join(CONCLUSIONS.read_text().split())
    parts = {part.name: part for part in limits.parts(known)}
    rows = {
        "**people at work at once**": "people",
        "workers on two cores": "workers on two cores",
        "… if the engine kept the card busy": "… if the engine fed the card fully",
    }
    for told, name in rows.items():
        needed = [f"{math.ceil(round(parts[name].needed(rate), 6)):,}" for rate in limits.RATES]
        bold = "**" if "**" in told else ""
        assert f"| {told} | {' | '.join(bold + each + bold for each in needed)} |" in said
    sizes = known["sizes"]["bytes_a_record"]
    assert f"{sizes['messages']:.0f} bytes a message and {sizes['labels']:.0f} a label" in said
    off = [row["simulated"]["p99"] / row["measured"]["p99"] - 1 for row in known["compared"]["rows"]]
    assert f"its p99 was off by {min(off):+.0%} to {max(off):+.0%}" in said.replace(" %", "%")
    p99s = {
        case: [f"{row['p99']:.{digits}f} s" for row in known["simulated"] if row["case"] == case]
        for case, digits in (("one worker is killed", 1), ("twice as many for a minute", 0))
    }
    three, some, many = p99s["one worker is killed"]
    assert f"p99 is {three} with three workers, {some} with 25 and {many} with 250" in said
    three, *others = p99s["twice as many for a minute"]
    assert f"p99 is {three} with three workers, and {others[0]} with more" in said
    assert len(set(others)) == 1


def test_the_page_is_made_of_its_figures() -> None:
    assert PAGE.read_text() == markdown(json.loads(PAGE.with_suffix(".json").read_text()))
