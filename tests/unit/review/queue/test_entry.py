"""A case's entry in the queue: what orders it, who may take it, and no text."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from review.cases.state import CaseState, Lease, Step
from review.queue.entry import OLDEST_AT_OPENING, entry_of
from review.queue.urgency import Law, lane_of
from review.queue.waiting import Reserved, Skip, Waiting
from schemas.events import Origin, ReviewCase, Severity

SENT = datetime(2026, 11, 24, 8, tzinfo=UTC)


def review_case(**fields: object) -> ReviewCase:
    case = ReviewCase(
        id="case:messages:0:1",
        label_id="label:messages:0:1",
        message_id="m-1",
        origin=Origin("messages", 0, 1),
        task="stress",
        kind="escalation",
        verdict="at_risk",
        risk=0.95,
        severity=Severity("moderate", {"low": 0.1, "moderate": 0.7, "high": 0.2}),
        priority=70.0,
        reasons=["above_upper_threshold"],
        bundle="0" * 64,
        conversation_id="c-1",
        text="I cannot sleep before the exam",
        opened_at=SENT + timedelta(minutes=1),
        levels=["low", "moderate", "high"],
        sent_at=SENT,
    )
    return structs.replace(case, **fields)


def entry(case: ReviewCase) -> Waiting:
    return entry_of(CaseState(case, 0), skip=60)


def test_the_entry_holds_what_orders_the_queue_and_no_text() -> None:
    made = entry(review_case())
    assert (made.level, made.rank, made.since) == ("moderate", 0.5, SENT.timestamp())
    assert made.uncertainty == pytest.approx(0.3)
    assert "sleep" not in repr(made)


def test_a_verdict_at_the_threshold_is_as_uncertain_as_can_be() -> None:
    assert entry(review_case(risk=0.5)).uncertainty == 1.0
    assert entry(review_case(reasons=["truncated"])).uncertainty == 1.0


def test_a_case_that_no_model_has_read_is_ranked_by_its_priority() -> None:
    unread = entry(review_case(kind="unread", risk=None, severity=None, priority=100.0))
    assert (unread.level, unread.rank, unread.uncertainty) == (None, 1.0, 1.0)
    assert not Law().severe(lane_of(unread))
    assert entry(review_case(kind="unread", risk=None, severity=None, priority=20.0)).rank == 0.2


@pytest.mark.parametrize(
    ("sent", "since"),
    [
        (None, 60.0),
        (SENT + timedelta(hours=9), 60.0),
        (datetime(1970, 1, 1, tzinfo=UTC), 60.0 - OLDEST_AT_OPENING),
    ],
)
def test_a_wrong_clock_carries_no_case_past_the_others(sent: datetime | None, since: float) -> None:
    assert entry(review_case(sent_at=sent)).since == SENT.timestamp() + since


def at(minutes: int) -> datetime:
    return SENT + timedelta(minutes=minutes)


def test_an_appeal_or_a_reopened_case_has_its_deadline_from_then_on() -> None:
    for action in ("reopened", "appealed"):
        state = CaseState(
            review_case(),
            0,
            stage="second",
            history=[Step(action, "lea", at(9)), Step("claimed", "ana", at(20))],
        )
        assert entry_of(state, skip=60).since == at(9).timestamp()


def test_who_has_it_and_whom_it_was_handed_to() -> None:
    held = CaseState(review_case(), 0, phase="claimed", lease=Lease("x", "ana", at(5)))
    assert (entry_of(held, skip=60).holder, entry_of(held, skip=60).state) == ("ana", "claimed")
    handed = CaseState(review_case(), 0, reader="ben", reader_until=at(60))
    assert entry_of(handed, skip=60).reserved == Reserved("ben", at(60).timestamp())
    assert entry_of(structs.replace(handed, reader_until=None), skip=60).reserved == Reserved(
        "ben", float("inf")
    )


def test_a_skipped_case_stays_away_for_a_while_or_for_good_by_its_reason() -> None:
    steps = [
        Step("released", "ana", at(1), "not_now"),
        Step("released", "ben", at(2), "know_the_person"),
        Step("released", "ana", at(3)),
        Step("released", "lea", at(4), reader="ana"),
    ]
    entry = entry_of(CaseState(review_case(), 0, skipped=["ana", "ben"], history=steps), skip=600)
    assert entry.skips == (Skip("ana", at(13).timestamp()), Skip("ben", float("inf")))


def test_repeated_risk_raises_it() -> None:
    raised = entry_of(CaseState(review_case(), 0, raised=["author: 3 within 24 h"]), skip=60)
    assert raised.raised
    assert Law().urgency(raised, at(5).timestamp()) > Law().urgency(entry(review_case()), at(5).timestamp())
