"""The order people work in: a total order by priority, then age, whatever order cases arrived in."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from review.cases.entries import CaseState
from review.queue.order import Filter, page, urgency
from schemas.events import Origin, ReviewCase, Severity

START = datetime(2026, 11, 24, tzinfo=UTC)


def case(
    number: int,
    *,
    priority: float = 50.0,
    minutes: int = 0,
    task: str = "stress",
    kind: Literal["escalation", "quality_sample"] = "escalation",
    severity: Severity | None = None,
) -> ReviewCase:
    return ReviewCase(
        id=f"case:messages:0:{number}",
        label_id=f"label:messages:0:{number}",
        message_id=f"m-{number}",
        origin=Origin("messages", 0, number),
        task=task,
        kind=kind,
        verdict="uncertain",
        risk=0.5,
        severity=severity,
        priority=priority,
        reasons=[],
        bundle="0" * 64,
        conversation_id=None,
        text=None,
        opened_at=START + timedelta(minutes=minutes),
    )


Cases = st.lists(
    st.builds(
        case,
        st.integers(0, 999),
        priority=st.sampled_from([0.0, 33.3, 50.0, 99.5, 100.0]) | st.floats(0, 100),
        minutes=st.integers(0, 5),
        task=st.sampled_from(["stress", "suicide-risk"]),
        kind=st.sampled_from(["escalation", "quality_sample"]),
    ),
    unique_by=lambda made: made.id,
    max_size=30,
)


def ordered(cases: list[ReviewCase], offset: int = 0, limit: int = 99) -> list[ReviewCase]:
    found = page((CaseState(made, 0) for made in cases), Filter(), offset=offset, limit=limit)
    assert found.total == len(cases)
    return [state.case for state in found.cases]


@given(Cases, st.randoms(use_true_random=False))
def test_most_urgent_first_oldest_first_among_equals(cases: list[ReviewCase], random: Random) -> None:
    shuffled = list(cases)
    random.shuffle(shuffled)
    queue = ordered(shuffled)
    assert queue == ordered(cases)
    for before, after in pairwise(queue):
        assert before.priority >= after.priority
        if before.priority == after.priority:
            assert before.opened_at <= after.opened_at


@given(Cases)
def test_no_two_cases_are_equally_urgent(cases: list[ReviewCase]) -> None:
    assert len({urgency(made) for made in cases}) == len(cases)


@given(Cases, st.integers(1, 7))
def test_pages_laid_side_by_side_are_the_queue(cases: list[ReviewCase], limit: int) -> None:
    pages = [ordered(cases, start, limit) for start in range(0, len(cases), limit)]
    assert [made for part in pages for made in part] == ordered(cases)


@given(Cases)
def test_filters_divide_the_queue(cases: list[ReviewCase]) -> None:
    entries = [CaseState(made, 0) for made in cases]
    parts = [
        page(entries, Filter(task=task, kind=kind), offset=0, limit=0).total
        for task in ("stress", "suicide-risk")
        for kind in ("escalation", "quality_sample")
    ]
    assert sum(parts) == len(cases)
