"""The queue of one desk lives from the states of cases alone, so that a restart changes nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal

import pytest
from msgspec import structs

from review.cases.state import CaseState, Judgement, Lease, Step
from review.people import Person
from review.queue.live import LiveQueue
from review.queue.order import Filter
from review.queue.rules import Rules
from schemas.events import Origin, ReviewCase, Severity
from tests.unit.review.queue.waiting_cases import ANA, BEN, LEA

START = datetime(2026, 11, 24, 8, tzinfo=UTC)
NUMBERS = count()


class Clock:
    """The time, which stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


def case(
    level: str = "moderate",
    *,
    kind: Literal["escalation", "quality_sample"] = "escalation",
    minutes: float = 0,
) -> CaseState:
    number = next(NUMBERS)
    levels = ["low", "moderate", "high"]
    made = ReviewCase(
        id=f"case:messages:0:{number}",
        label_id=f"label:messages:0:{number}",
        message_id=f"m-{number}",
        origin=Origin("messages", 0, number),
        task="stress",
        kind=kind,
        verdict="at_risk",
        risk=0.9,
        severity=Severity(level, {name: 0.8 if name == level else 0.1 for name in levels}),
        priority=60.0,
        reasons=[],
        bundle="0" * 64,
        conversation_id=None,
        text="another night without sleep",
        opened_at=START - timedelta(minutes=minutes),
        levels=levels,
    )
    return CaseState(made, 0)


def claimed(state: CaseState, person: Person, at: datetime) -> CaseState:
    lease = Lease("lease", person.id, at + timedelta(minutes=10))
    return structs.replace(
        state, phase="claimed", lease=lease, history=[*state.history, Step("claimed", person.id, at)]
    )


def settled(state: CaseState, person: Person, at: datetime) -> CaseState:
    judged = Judgement(f"decision:{state.case.id}", person.id, "not_at_risk", None, at, published=True)
    history = [*state.history, Step("decided", person.id, at), Step("settled", "desk", at)]
    return structs.replace(state, phase="settled", lease=None, judgements=[judged], history=history)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ids(queue: LiveQueue, person: Person = ANA, wanted: Filter | None = None) -> list[str]:
    found = queue.page(wanted or Filter(), person, offset=0, limit=50, levels=True)
    return [place.id for place in found.places]


def test_claimed_cases_leave_the_list_and_decided_ones_the_queue(clock: Clock) -> None:
    queue, one, two = LiveQueue(Rules(), clock), case("high"), case("low")
    queue.put(one)
    queue.put(two)
    assert ids(queue) == [one.case.id, two.case.id]
    held = claimed(one, ANA, clock.now)
    queue.put(held)
    assert ids(queue) == [two.case.id]
    assert ids(queue, wanted=Filter(mine=True)) == [one.case.id]
    assert ids(queue, wanted=Filter(state="claimed")) == [one.case.id]
    assert queue.counts(Filter(), ANA).total == 1
    queue.put(settled(held, ANA, clock.now))
    queue.drop(two.case.id)
    assert ids(queue) == []
    assert queue.tasks() == []


def test_a_restart_changes_nothing(clock: Clock) -> None:
    states = [case(level, minutes=minutes) for minutes, level in enumerate(["high", "low", "moderate"] * 5)]
    states += [claimed(case("high"), ANA, clock.now - timedelta(minutes=n)) for n in range(4)]
    states += [settled(claimed(case("low", minutes=50), BEN, clock.now), BEN, clock.now) for n in range(6)]
    queue, again = LiveQueue(Rules(), clock), LiveQueue(Rules(), clock)
    for state in states:
        queue.put(state)
    for state in [*reversed(states), *states]:
        again.put(state)
    assert ids(again) == ids(queue)
    assert again.load(ANA) == queue.load(ANA)
    assert again.load(ANA).severe == 4
    assert again.capacity() == queue.capacity()
    assert queue.capacity().forecast.pace.decisions == 6
    shown = queue.page(Filter(), ANA, offset=0, limit=1, levels=True).version
    queue.clear()
    assert ids(queue) == []
    assert not queue.changes_since(shown, Filter(), ANA).complete
    for state in states:
        queue.put(state)
    assert ids(queue) == ids(again)


def test_whoever_is_at_the_cap_gets_other_cases_until_an_hour_has_passed(clock: Clock) -> None:
    queue = LiveQueue(Rules(severe_per_hour=2), clock)
    for _ in range(2):
        queue.put(settled(claimed(case("high"), ANA, clock.now), ANA, clock.now))
    severe, mild = case("high"), case("low")
    queue.put(severe)
    queue.put(mild)
    assert queue.take_next(ANA, Filter()) == mild.case.id
    assert queue.take_next(ANA, Filter()) is None
    assert queue.load(ANA).spared_until == (START + timedelta(hours=1)).timestamp()
    assert queue.take_next(BEN, Filter()) == severe.case.id
    queue.give_back(severe.case.id)
    clock.wait(60)
    assert queue.take_next(ANA, Filter()) == severe.case.id


def test_a_skipped_case_comes_back_to_the_same_person_after_a_while(clock: Clock) -> None:
    queue, state = LiveQueue(Rules(skip=1800), clock), case()
    put_back = structs.replace(
        state, skipped=["ana"], history=[Step("released", "ana", clock.now, "not_now")]
    )
    queue.put(put_back)
    assert queue.take_next(ANA, Filter()) is None
    clock.wait(30)
    assert queue.take_next(ANA, Filter()) == state.case.id


def test_under_pressure_fewer_claims_are_samples_but_never_none(clock: Clock) -> None:
    queue = LiveQueue(Rules(quality_share=0.5, quality_share_least=0.125), clock)
    assert queue.capacity().sample_every == 2
    for _ in range(400):
        queue.put(case("high", minutes=40))
    states = [case(kind="quality_sample") for _ in range(50)]
    for state in states:
        queue.put(state)
    samples = {state.case.id for state in states}
    clock.wait(1)
    assert queue.capacity().sample_every == 8
    given = [queue.take_next(LEA, Filter()) for _ in range(2 + 8 * 20)]
    assert sum(case_id in samples for case_id in given[2:]) == 20
    assert queue.capacity().usual_every == 2


def test_it_is_made_anew_beside_the_loop_as_it_would_be_on_it(clock: Clock) -> None:
    queue = LiveQueue(Rules(), clock)
    for minutes in range(50):
        queue.put(case("high" if minutes % 3 else "low", minutes=minutes))
    before = queue.capacity()
    queue.put(claimed(case("high", minutes=40), ANA, clock.now))
    asyncio.run(queue.refresh())
    after = queue.capacity()
    assert after is not before
    assert after.forecast.pace.at_work == 1
    assert sum(lane.waiting for lane in after.forecast.lanes) == 50
    clock.wait(0.4)
    assert queue.capacity() is after


def test_what_it_says_may_be_half_a_minute_old(clock: Clock) -> None:
    queue = LiveQueue(Rules(), clock)
    before = queue.capacity()
    queue.put(case("high", minutes=40))
    clock.wait(0.4)
    assert queue.capacity() is before
    clock.wait(0.2)
    # Nobody is at work: it is late, and so is nearly every one that will arrive in a day, one an hour as now.
    assert queue.capacity().forecast.missed_severe == 24
    assert queue.backlog()[0].overdue == 1
