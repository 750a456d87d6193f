"""The fold of a case's events: whatever is delayed, repeated or lost on the way, nobody shares a case.

Two desks and three people act on one case. Each desk knows the case as it was at some moment, so that their
events are often late. The log keeps their order; what is read from it is read again after a crash, from the
last committed offset, by a table that is at most ahead of that offset.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from review.cases.state import CaseState
from review.cases.steps import BY_LEAD, MAX_HISTORY, advance, may_read, refers
from schemas.events import CaseEvent, ReviewDecision
from schemas.ids import decision_id
from schemas.vocabulary import CaseAction
from tests.unit.review.test_entries import CASE

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
CLAIMED: tuple[CaseAction, str] = ("claimed", "aoi")
EXTENDED: tuple[CaseAction, str] = ("extended", "aoi")
EXPIRED: tuple[CaseAction, str] = ("expired", "desk")
USUAL: dict[str, CaseAction] = {
    "waiting": "claimed",
    "claimed": "decided",
    "decided": "settled",
    "settled": "reopened",
}
ENDS: tuple[CaseAction, ...] = ("settled", "referred")
PEOPLE = ("aoi", "ben", "chi")
DESKS = (0, 1)
START = CaseState(CASE, 0)


def decision(state: CaseState, reviewer: str, finding: str = "not_at_risk") -> ReviewDecision:
    stands = state.standing
    return ReviewDecision(
        decision_id(CASE.id, reviewer, len(state.judgements)),
        CASE.id,
        CASE.message_id,
        CASE.task,
        reviewer,
        finding,  # type: ignore[arg-type]  # drawn from the findings
        None,
        None,
        NOW,
        supersedes=stands.decision_id if stands else None,
    )


def event(state: CaseState, action: CaseAction, actor: str, **fields: object) -> CaseEvent:
    """An event made for this state, as a desk makes it."""
    lease = state.lease.id if state.lease and action != "claimed" else f"lease-{state.revision}-{actor}"
    made = CaseEvent(
        f"case-event:{CASE.id}:{state.revision}:{action}:{actor}",
        CASE.id,
        state.revision,
        action,
        actor,
        NOW,
        lease,
        NOW + timedelta(minutes=10),
        decision=state.pending if action in {"settled", "referred"} else None,
    )
    return replace(made, **fields)


def after(*steps: tuple[CaseAction, str], finding: str = "not_at_risk", lead: bool = False) -> CaseState:
    """The state after these steps, each accepted."""
    state = START
    for action, actor in steps:
        fields: dict[str, object] = {}
        if action == "decided":
            fields["decision"] = decision(state, actor, finding)
            fields["reason"] = BY_LEAD if lead else None
        state, outcome = advance(state, event(state, action, actor, **fields))
        assert outcome == "accepted", (action, actor, outcome)
    return state


def unsure(reader: str) -> list[tuple[CaseAction, str]]:
    """The steps of a reader who is unsure."""
    return [("claimed", reader), ("decided", reader), ("referred", "desk")]


class Life(RuleBasedStateMachine):
    """One case, two desks, three people."""

    @initialize()
    def begin(self) -> None:
        self.log: list[CaseEvent] = []
        self.state, self.offset = START, 0
        self.kept = (START, 0)  # what the table and the group had at the last commit
        self.known = dict.fromkeys(DESKS, START)
        self.accepted: dict[int, CaseEvent] = {}  # by the revision that it was made for
        self.published: list[ReviewDecision] = []

    @rule(
        desk=st.sampled_from(DESKS),
        actor=st.sampled_from(PEOPLE),
        action=st.none() | st.sampled_from(get_args(CaseAction)),
        finding=st.sampled_from(["at_risk", "not_at_risk", "unsure"]),
        by_lead=st.booleans(),
    )
    def act(
        self,
        desk: int,
        actor: str,
        action: CaseAction | None,
        finding: str,
        by_lead: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """A desk sends a step on the case as it knows it: the usual one, or any, allowed or not."""
        state = self.known[desk]
        if action is None:
            action = USUAL[state.phase] if not (state.phase == "decided" and refers(state)) else "referred"
            actor = state.lease.holder if state.lease else actor
        fields: dict[str, object] = {}
        if action == "decided":
            fields = {"decision": decision(state, actor, finding), "reason": BY_LEAD if by_lead else None}
        if action == "raised":
            fields = {"reason": f"author:{3 + len(self.log)}"}
        if action == "released" and by_lead:
            fields = {"reader": PEOPLE[0]}
        self.log.append(event(state, action, actor, **fields))

    @rule(desk=st.sampled_from(DESKS))
    def look(self, desk: int) -> None:
        """A desk sees the case as it is."""
        self.known[desk] = self.state

    @rule(count=st.integers(1, 4), commit=st.booleans())
    def consume(self, count: int, commit: bool) -> None:  # noqa: FBT001 - drawn
        """The next events of the log are folded; their offsets are committed, or not yet."""
        for step in self.log[self.offset : self.offset + count]:
            before, (self.state, outcome) = self.state, advance(self.state, step)
            if step.action == "raised":
                assert self.state.revision == before.revision
            elif outcome == "accepted":
                first = self.accepted.setdefault(before.revision, step)
                assert first == step, "two different steps were accepted at one revision"
                if step.action == "settled":
                    assert before.pending is not None
                    self.published.append(before.pending)
            else:
                assert self.state == before
        self.offset = min(self.offset + count, len(self.log))
        if commit:
            self.kept = (self.state, self.offset)

    @rule(table_survives=st.booleans())
    def crash(self, table_survives: bool) -> None:  # noqa: FBT001 - drawn
        """The desk dies: what was not committed is read again, by the table of then or of now."""
        state, self.offset = self.kept
        if not table_survives:
            self.state = state

    @invariant()
    def nobody_shares_the_case(self) -> None:
        holder: str | None = None
        for step in list(self.accepted.values())[: self.state.revision]:
            if step.action == "claimed":
                assert holder is None
                holder = step.actor
            elif step.action in {"decided", "extended", "undone"}:
                assert step.actor == holder
            elif step.action in {"released", "expired", "settled", "referred"} and step.lease is not None:
                holder = None
        if self.state.phase in {"claimed", "decided"}:
            assert self.state.lease is not None
            assert self.state.lease.holder == holder
        else:
            assert self.state.lease is None

    @invariant()
    def one_decision_stands(self) -> None:
        distinct = list({made.id: made for made in self.published}.values())
        assert all(made in distinct for made in self.published), "one id, two decisions"
        for earlier, later in zip([None, *distinct], distinct, strict=False):
            assert later.supersedes == (earlier.id if earlier else None)
        stands = self.state.standing
        if self.state.phase == "settled":
            assert stands is not None
            assert stands.decision_id in {made.id for made in distinct}
            assert stands.finding != "unsure" or len(self.state.judgements) > 1

    @invariant()
    def no_accepted_step_is_lost(self) -> None:
        assert self.state.revision == len(
            [revision for revision in self.accepted if revision < self.state.revision]
        )
        state = START
        for step in list(self.accepted.values())[: self.state.revision]:
            state, outcome = advance(state, step)
            assert outcome == "accepted"
        # A raise may come between any two steps, and counts as none of them.
        bare: dict[str, Any] = {"history": [], "raised": [], "repeats": {}}
        assert replace(state, **bare) == replace(self.state, **bare)

    @invariant()
    def nobody_reads_twice_before_a_lead_is_asked(self) -> None:
        readers = [judged.reader for judged in self.state.judgements[:2]]
        assert len(readers) == len(set(readers))


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase


def test_of_two_claims_at_one_moment_the_first_in_the_log_counts() -> None:
    first, second = event(START, "claimed", "aoi"), event(START, "claimed", "ben")
    state, outcome = advance(START, first)
    assert (outcome, state.lease and state.lease.holder) == ("accepted", "aoi")
    assert advance(state, second) == (state, "stale")
    assert advance(state, first) == (state, "stale")


def test_an_event_whose_forerunners_are_missing_changes_nothing() -> None:
    ahead = replace(event(START, "claimed", "aoi"), revision=5)
    assert advance(START, ahead) == (START, "ahead")


def test_an_unsure_decision_goes_to_a_second_reader_and_then_to_a_lead() -> None:
    once = after(*unsure("aoi"), finding="unsure")
    assert (once.phase, once.stage, once.standing) == ("waiting", "second", None)
    assert not may_read(once, "aoi")
    assert advance(once, event(once, "claimed", "aoi"))[1] == "refused"
    twice = after(*unsure("aoi"), *unsure("ben"), finding="unsure")
    assert twice.stage == "lead"
    assert may_read(twice, "aoi")  # there may be one lead only


@pytest.mark.parametrize(("lead", "ends"), [(False, "referred"), (True, "settled")])
def test_a_second_readers_unsure_settles_where_they_are_a_lead(lead: bool, ends: CaseAction) -> None:  # noqa: FBT001
    once = after(*unsure("aoi"), finding="unsure")
    claimed, _ = advance(once, event(once, "claimed", "ben"))
    made = decision(claimed, "ben", "unsure")
    state, _ = advance(
        claimed, event(claimed, "decided", "ben", decision=made, reason=BY_LEAD if lead else None)
    )
    outcomes = {action: advance(state, event(state, action, "desk"))[1] for action in ENDS}
    assert [action for action, outcome in outcomes.items() if outcome == "accepted"] == [ends]


def test_only_the_pending_decision_settles() -> None:
    state = after(("claimed", "aoi"), ("decided", "aoi"))
    other = replace(decision(state, "aoi"), finding="at_risk")
    assert advance(state, event(state, "settled", "desk", decision=other)) == (state, "refused")
    assert advance(state, event(state, "settled", "desk"))[1] == "accepted"


def test_undo_gives_the_case_back_to_the_same_reviewer() -> None:
    state = after(("claimed", "aoi"), ("decided", "aoi"))
    assert advance(state, event(state, "undone", "ben"))[1] == "refused"
    undone, _ = advance(state, event(state, "undone", "aoi"))
    assert (undone.phase, undone.pending) == ("claimed", None)
    assert undone.lease is not None
    assert undone.lease.holder == "aoi"


def test_a_reopened_case_goes_to_another_reader_and_its_decision_supersedes() -> None:
    state = after(("claimed", "aoi"), ("decided", "aoi"), ("settled", "desk"), ("reopened", "ben"))
    assert (state.phase, may_read(state, "aoi"), may_read(state, "ben")) == ("waiting", False, True)
    claimed, _ = advance(state, event(state, "claimed", "ben"))
    again = decision(claimed, "ben", "at_risk")
    assert again.supersedes == state.judgements[0].decision_id
    decided, _ = advance(claimed, event(claimed, "decided", "ben", decision=again))
    settled, _ = advance(decided, event(decided, "settled", "desk"))
    assert settled.standing is not None
    assert settled.standing.decision_id == again.id


def test_a_case_that_is_handed_over_waits_for_that_colleague_until_that_expires() -> None:
    claimed = after(("claimed", "aoi"))
    state, _ = advance(claimed, event(claimed, "released", "aoi", reader="ben"))
    assert (may_read(state, "ben"), may_read(state, "chi")) == (True, False)
    assert state.due == NOW + timedelta(minutes=10)
    assert state.skipped == []
    free, outcome = advance(state, event(state, "expired", "desk", lease=None))
    assert (outcome, may_read(free, "chi"), free.due) == ("accepted", True, None)


def test_a_skip_is_remembered_and_a_history_is_bounded() -> None:
    state = after(("claimed", "aoi"), ("released", "aoi"))
    assert state.skipped == ["aoi"]
    state = after(("claimed", "aoi"), *[EXTENDED] * 50, ("released", "aoi"))
    assert [step.action for step in state.history] == ["claimed", "extended", "released"]
    state = after(*[CLAIMED, EXPIRED] * 100)
    assert len(state.history) == MAX_HISTORY


def test_a_raise_is_accepted_at_any_revision_and_leaves_the_revision_alone() -> None:
    state = after(("claimed", "aoi"))
    raised, outcome = advance(state, replace(event(START, "raised", "desk"), reason="author:3"))
    assert outcome == "accepted"
    assert (raised.raised, raised.repeats, raised.revision) == (["author"], {"author": 3}, state.revision)
    for reason, expected in (
        ("author:3", "stale"),
        ("author:2", "stale"),
        ("mood:4", "refused"),
        ("author:many", "refused"),
        ("author", "refused"),
        (None, "refused"),
    ):
        assert advance(raised, replace(event(START, "raised", "desk"), reason=reason)) == (raised, expected)
    settled = after(("claimed", "aoi"), ("decided", "aoi"), ("settled", "desk"))
    assert advance(settled, replace(event(START, "raised", "desk"), reason="author:9"))[1] == "refused"


def test_a_lease_that_ended_takes_no_step_even_at_the_right_revision() -> None:
    state = after(("claimed", "aoi"))
    for action in ("extended", "released", "expired", "decided"):
        fields: dict[str, Any] = {"decision": decision(state, "aoi")} if action == "decided" else {}
        step = replace(event(state, action, "aoi", **fields), lease="an earlier one")
        assert advance(state, step) == (state, "refused")


def test_a_claimed_case_is_not_claimed_again() -> None:
    state = after(("claimed", "aoi"))
    for who in ("aoi", "ben"):
        assert advance(state, event(state, "claimed", who)) == (state, "refused")
