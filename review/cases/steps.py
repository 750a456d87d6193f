"""Folds a case's events into its state. Pure: no clock, no Kafka, and the same for every desk.

                    released, expired
                  ┌────────────────────┐
                  ▼                    │
    opened ──► waiting ──claimed──► claimed ──decided──► decided ──settled──► settled
                  ▲                  ▲   ▲ │                │ │                  │
                  │                  │   └─┘ extended       │ │                  │
                  │                  └──────undone──────────┘ │                  │
                  ├──────────────────referred─────────────────┘                  │
                  └──────────────────reopened, appealed──────────────────────────┘

An event is accepted only at the revision that it was made for, and only where an arrow leads on from there.
So it counts at most once, and of two at the same moment the first in the log counts. Who may send an event
is decided by the desk that signs it (`review.cases.permits`); here stands only what must hold of every case:
one holder at a time, no reader twice before a lead, and no decision but the pending one settles.

`raised` alone is accepted at any revision and counts as none: the desk that sends it counts the cases of an
author over all partitions, and does not hold this case. It takes no step from anybody, so it must not make a
reviewer's step at the same moment be refused either. It changes nothing a second time.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final, Literal, get_args

from msgspec.structs import replace

from review.cases.entries import SubjectKind
from review.cases.state import CaseState, Judgement, Lease, Stage, Step
from schemas.codec import encode
from schemas.events import CaseEvent, ReviewDecision
from schemas.vocabulary import CaseAction

Outcome = Literal["accepted", "stale", "ahead", "refused"]

BY_LEAD: Final = "by_lead"
DOUBLE_REVIEW: Final = "double_review"
MAX_HISTORY: Final = 60


def advance(state: CaseState, event: CaseEvent) -> tuple[CaseState, Outcome]:
    """Return the state after an event, and what became of the event.

    `stale` is an event that was delivered again, or lost against another. `ahead` is one whose forerunners
    are missing here, and `refused` one that no arrow leads to. In all three cases the state is unchanged.
    """
    if event.action == "raised":
        return _raised(state, event)
    if event.revision != state.revision:
        return state, "stale" if event.revision < state.revision else "ahead"
    rule = _RULES.get(event.action)
    changed = rule(state, event) if rule else None
    if changed is None:
        return state, "refused"
    return replace(changed, revision=state.revision + 1, history=_history(state, event)), "accepted"


def _history(state: CaseState, event: CaseEvent) -> list[Step]:
    earlier = state.history
    if event.action == "extended" and earlier and earlier[-1].action == "extended":
        earlier = earlier[:-1]
    # A note is for whoever reads the decision; here it would sway a second reader.
    remark = None if event.action == "decided" else event.remark
    step = Step(event.action, event.actor, event.at, event.reason, event.reader, remark)
    return [*earlier, step][-MAX_HISTORY:]


def may_read(state: CaseState, person_id: str) -> bool:
    """Whether this person may be the next to judge the case, as far as its past says."""
    if state.reader is not None and state.reader != person_id:
        return False
    return state.stage == "lead" or person_id not in state.readers


def digest(decision: ReviewDecision) -> str:
    """What two decisions share only if they are the same in every field but the note."""
    return blake2b(encode(without_note(decision)), digest_size=16).hexdigest()


def without_note(decision: ReviewDecision) -> ReviewDecision:
    """The decision as the log has it: its note is sealed beside it."""
    return replace(decision, note=None)


def _claimed(state: CaseState, event: CaseEvent) -> CaseState | None:
    if state.phase != "waiting" or event.lease is None or event.until is None:
        return None
    if not may_read(state, event.actor):
        return None
    lease = Lease(event.lease, event.actor, event.until)
    return replace(state, phase="claimed", lease=lease, reader=None, reader_until=None)


def _extended(state: CaseState, event: CaseEvent) -> CaseState | None:
    if not _holds(state, event) or state.lease is None or event.until is None:
        return None
    return replace(state, lease=replace(state.lease, until=event.until))


def _released(state: CaseState, event: CaseEvent) -> CaseState | None:
    # A lead may release for somebody else, so that the lease alone decides.
    if state.phase != "claimed" or state.lease is None or state.lease.id != event.lease:
        return None
    skipped = state.skipped
    if event.actor == state.lease.holder and event.reader is None and event.actor not in skipped:
        skipped = [*skipped, event.actor]
    until = event.until if event.reader else None
    return replace(
        state, phase="waiting", lease=None, reader=event.reader, reader_until=until, skipped=skipped
    )


def _expired(state: CaseState, event: CaseEvent) -> CaseState | None:
    if state.phase == "waiting" and state.reader is not None and event.lease is None:
        return replace(state, reader=None, reader_until=None)
    if state.phase != "claimed" or state.lease is None or state.lease.id != event.lease:
        return None
    return replace(state, phase="waiting", lease=None)


def _decided(state: CaseState, event: CaseEvent) -> CaseState | None:
    decision = event.decision
    if not _holds(state, event) or decision is None:
        return None
    if decision.reviewer != event.actor or decision.case_id != state.case.id:
        return None
    return replace(
        state,
        phase="decided",
        pending=decision,
        note=event.remark,
        undo_until=event.until,
        by_lead=event.reason == BY_LEAD,
    )


def _undone(state: CaseState, event: CaseEvent) -> CaseState | None:
    if state.phase != "decided" or state.lease is None or event.actor != state.lease.holder:
        return None
    lease = state.lease if event.until is None else replace(state.lease, until=event.until)
    return replace(
        state, phase="claimed", lease=lease, pending=None, note=None, undo_until=None, by_lead=False
    )


def _settled(state: CaseState, event: CaseEvent) -> CaseState | None:
    pending = _pending(state, event)
    if pending is None or refers(state):
        return None
    return replace(_judged(state, pending, published=True), phase="settled", skipped=[])


def _referred(state: CaseState, event: CaseEvent) -> CaseState | None:
    if state.phase == "waiting":  # no second reader came, and there may be none
        alone = state.stage == "second" and state.reader is None
        return replace(state, stage="lead") if alone else None
    pending = _pending(state, event)
    if pending is None or not refers(state):
        return None
    following: Stage = "second" if state.stage == "first" else "lead"
    return replace(_judged(state, pending, published=False), phase="waiting", stage=following)


def refers(state: CaseState) -> bool:
    """Whether the pending decision goes to another reader, as it is not yet a lead's last word.

    It is unsure; or a second reader, who was asked at random, disagrees with the decision that stands. Chance
    must not take back what somebody has decided, so then a lead decides.
    """
    if state.pending is None or (state.by_lead and state.stage != "first"):
        return False
    return state.pending.finding == "unsure" or _disagrees(state, state.pending)


def _disagrees(state: CaseState, pending: ReviewDecision) -> bool:
    asked = next((step for step in reversed(state.history) if step.action in {"reopened", "appealed"}), None)
    stands = state.standing
    if asked is None or asked.reason != DOUBLE_REVIEW or stands is None:
        return False
    return (pending.finding, pending.severity) != (stands.finding, stands.severity)


def _again(state: CaseState, _event: CaseEvent) -> CaseState | None:
    if state.phase != "settled":
        return None
    return replace(state, phase="waiting", stage="second")


def _raised(state: CaseState, event: CaseEvent) -> tuple[CaseState, Outcome]:
    why, _, count = (event.reason or "").partition(":")
    if state.phase == "settled" or why not in get_args(SubjectKind) or not re.fullmatch("[0-9]{1,6}", count):
        return state, "refused"
    if int(count) <= state.repeats.get(why, 0):
        return state, "stale"
    raised = state.raised if why in state.raised else [*state.raised, why]
    repeats = {**state.repeats, why: int(count)}
    return replace(state, raised=raised, repeats=repeats, history=_history(state, event)), "accepted"


def _holds(state: CaseState, event: CaseEvent) -> bool:
    lease = state.lease
    return (
        state.phase == "claimed"
        and lease is not None
        and lease.id == event.lease
        and lease.holder == event.actor
    )


def _pending(state: CaseState, event: CaseEvent) -> ReviewDecision | None:
    # The event repeats the decision, so that the log says by itself what was settled.
    return state.pending if state.phase == "decided" and event.decision == state.pending else None


def _judged(state: CaseState, decision: ReviewDecision, *, published: bool) -> CaseState:
    judgement = Judgement(
        decision.id,
        decision.reviewer,
        decision.finding,
        decision.severity,
        decision.decided_at,
        published,
        decision.supersedes,
        digest(decision) if published else None,
        state.note,
    )
    return replace(
        state,
        judgements=[*state.judgements, judgement],
        pending=None,
        note=None,
        undo_until=None,
        by_lead=False,
        lease=None,
    )


_RULES: Final[Mapping[CaseAction, Callable[[CaseState, CaseEvent], CaseState | None]]] = {
    "claimed": _claimed,
    "extended": _extended,
    "released": _released,
    "expired": _expired,
    "decided": _decided,
    "undone": _undone,
    "referred": _referred,
    "settled": _settled,
    "reopened": _again,
    "appealed": _again,
}
