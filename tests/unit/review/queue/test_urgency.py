"""The law of the queue: older not behind an equal younger one, overdue first, nothing less by waiting."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec import structs

from review.cases.views import BLIND
from review.queue.urgency import Lane, Law
from review.queue.waiting import Waiting
from tests.unit.review.queue.waiting_cases import AGES, HOUR, NOW, cases, made

LAWS = st.builds(
    Law,
    severity_ratio=st.floats(1, 1000),
    uncertainty_weight=st.floats(0, 3),
    raised_weight=st.floats(1, 4),
    most_severe=st.floats(60, 3600),
    least_severe=st.floats(3600, 1e6),
)


@given(LAWS, cases(), AGES, st.floats(0, 1e6))
def test_the_older_of_two_equal_cases_is_never_less_urgent(
    law: Law, case: Waiting, age: float, more: float
) -> None:
    younger = structs.replace(case, since=NOW - age)
    older = structs.replace(case, since=NOW - age - more)
    assert law.urgency(older, NOW) >= law.urgency(younger, NOW)


@given(LAWS, cases(), st.floats(0, 1e6))
def test_no_case_becomes_less_urgent_by_waiting(law: Law, case: Waiting, later: float) -> None:
    assert law.urgency(case, NOW + later) >= law.urgency(case, NOW)


@given(LAWS, cases(), cases())
@example(
    Law(),
    made(since=NOW - 12_471, uncertainty=0.0),
    made(since=NOW - 12_469, uncertainty=1.0, raised=True),
)
def test_an_overdue_case_comes_before_those_of_its_level_that_are_not(
    law: Law, overdue: Waiting, other: Waiting
) -> None:
    assume(overdue.kind not in BLIND)  # these stand where another case would
    other = structs.replace(
        other,
        level=overdue.level,
        rank=overdue.rank,
        task=overdue.task,
        kind=overdue.kind,
        stands_as=None,
    )
    if law.overdue(overdue, NOW) and not law.overdue(other, NOW):
        assert law.urgency(overdue, NOW) >= law.urgency(other, NOW)


@given(LAWS, cases(), st.floats(0, 1))
def test_doubt_and_repetition_never_make_a_case_less_urgent(law: Law, case: Waiting, more: float) -> None:
    calm = structs.replace(case, raised=False)
    unsure = structs.replace(calm, uncertainty=min(calm.uncertainty + more, 1.0))
    assert law.urgency(unsure, NOW) >= law.urgency(calm, NOW)
    assert law.urgency(structs.replace(calm, raised=True), NOW) >= law.urgency(calm, NOW)


def test_among_the_overdue_the_order_is_that_of_being_sent_and_repetition_still_counts() -> None:
    older, younger = (
        made(uncertainty=0.0, since=NOW - 50 * HOUR),
        made(uncertainty=1.0, since=NOW - 40 * HOUR),
    )
    assert Law().urgency(older, NOW) > Law().urgency(younger, NOW)
    assert Law().urgency(structs.replace(younger, raised=True), NOW) > Law().urgency(older, NOW)


def test_of_two_new_cases_the_more_severe_comes_first_whatever_the_doubts() -> None:
    severe = made(level="high", uncertainty=0.0, since=NOW)
    assert Law().urgency(severe, NOW) > Law().urgency(made(uncertainty=1.0, raised=True, since=NOW), NOW)


def test_a_mild_case_waits_a_month_before_it_overtakes_a_new_severe_one() -> None:
    severe = made(level="high", uncertainty=0.0, since=NOW)
    mild = made(level="low", since=NOW - 14 * 24 * HOUR)
    assert Law().urgency(mild, NOW) < Law().urgency(severe, NOW)
    assert Law().urgency(mild, NOW + 2 * 24 * HOUR) > Law().urgency(severe, NOW)


@pytest.mark.parametrize(
    ("lane", "minutes"),
    [
        (Lane("stress", "escalation", "high", 1.0), 30),
        (Lane("stress", "escalation", "low", 0.0), 24 * 60),
        (Lane("suicide-risk", "escalation", "attempt", 1.0), 5),
        (Lane("harassment", "escalation", "attempt", 1.0), 45),
        (Lane("stress", "unread", None, 1.0), 30),
        (Lane("stress", "quality_sample", None, 0.0), 72 * 60),
        (Lane("stress", "golden", None, 0.0), 240),
    ],
)
def test_each_level_has_its_deadline(lane: Lane, minutes: float) -> None:
    law = Law(deadlines={"suicide-risk/attempt": 300.0, "attempt": 2700.0, "golden": 14_400.0})
    assert law.allowance(lane) == pytest.approx(minutes * 60)


def test_levels_between_share_the_time_in_equal_ratios() -> None:
    law = Law(most_severe=60, least_severe=6000)
    assert law.allowance(Lane("t", "escalation", "middle", 0.5)) == pytest.approx(600)
    assert [law.severe(Lane("t", "escalation", name, rank)) for name, rank in (("a", 0.5), ("b", 0.75))] == [
        False,
        True,
    ]
