"""What a person may see of a case now. Pure.

Whoever may still judge a case sees neither the model's view nor what others found. So nobody's judgement
leans on another, and a quality sample or a golden item looks like every other case. A judgement that can be
undone is none yet: if the model's view were shown at once, it could be undone in favour of that view, and
what samples and golden items measure would be how well people copy.

- Who has judged the case sees everything once their judgement stands, or has gone to another reader.
- A lead or an auditor sees everything while a decision stands; before, what orders the queue, unless they
  hold the case, but neither the model's view of it nor what others found.
- Everybody else may be asked to read the case next, and sees nothing of all that.

The text is separate: `Desk.reveal` gives it to whoever may read it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from review.cases.form import severity_levels
from review.cases.script import Script
from review.cases.state import CaseState, Judgement, Phase, Stage, Step
from review.people import Person
from review.retention.remarks import open_remark
from schemas.events import Highlight, ReviewCase, Severity, Thresholds
from schemas.ids import case_id
from schemas.reasons import DeadLetterReason, Reason
from schemas.vocabulary import CaseAction, CaseKind, Finding, Verdict

# Kinds that check the model and the reviewers. Reviewers read them as ordinary cases.
BLIND: Final[frozenset[CaseKind]] = frozenset({"quality_sample", "golden"})
# After these, a case waits anew: what came before says how others have judged it.
_ANEW: Final[frozenset[CaseAction]] = frozenset({"settled", "referred", "reopened", "appealed"})


class ModelView(msgspec.Struct, frozen=True):
    """What the model made of the message. Verdict, risk and bundle are None where none has read it."""

    kind: CaseKind
    verdict: Verdict | None
    risk: float | None
    severity: Severity | None
    reasons: list[Reason]
    highlights: list[Highlight]
    priority: float
    thresholds: Thresholds | None
    bundle: str | None
    scored_by: str | None


class Outcome(msgspec.Struct, frozen=True):
    """What was decided. The note is shown until the words of the case are forgotten or erased."""

    finding: Finding
    severity: str | None
    reader: str
    decided_at: datetime
    note: str | None = None


class CaseView(msgspec.Struct, frozen=True):
    """A case as one person sees it. `model` is None while it is hidden from them.

    `holder` is who has it, until `until`; `mine` says that it is the viewer. `lease` is that claim's id, for
    its holder and for leads, who may release it. `decision` is the viewer's
    pending one, which is published at `undo_until`, or the standing one. `raised` names why the case comes
    first, and `repeats` how many cases at risk there were of that `author` or `conversation` within 24 hours.
    `script` is that of the text; None where nobody knows.

    While `model` is hidden, so is everything that would tell of it or of other readings: `kind` is
    `escalation` for all that are blind, `judgements` are empty, and `history` begins when the case began to
    wait for this reading. Reviewers are not told either that there was a reading (`stage` is `first` unless a
    lead is asked). They and whoever holds the case are not told what raised it: it says that the model found
    this very case at risk.
    """

    id: str
    task: str
    kind: CaseKind
    phase: Phase
    stage: Stage
    message_id: str
    conversation_id: str | None
    author_id: str | None
    opened_at: datetime
    sent_at: datetime | None
    levels: list[str]
    has_text: bool
    text_shortened: bool
    unread_because: DeadLetterReason | None
    raised: list[str]
    repeats: dict[str, int]
    holder: str | None
    until: datetime | None
    mine: bool
    lease: str | None
    reader: str | None
    decision: Outcome | None
    undo_until: datetime | None
    judgements: list[Judgement]
    history: list[Step]
    model: ModelView | None
    script: Script | None


class Claim(msgspec.Struct, frozen=True):
    """A case that somebody holds: with `lease` they take the next steps, until about `until`."""

    case: CaseView
    lease: str
    until: datetime


def shown_id(case: ReviewCase) -> str:
    """The id by which people know a case: a golden item's is that of the place which it pretends to be of."""
    return case_id(case.origin) if case.kind == "golden" else case.id


def view(state: CaseState, person: Person, *, model_first: bool) -> CaseView:
    """The case as this person may see it. `model_first` shows the model's view before their judgement."""
    case, lease, oversees = state.case, state.lease, person.may("lead", "auditor")
    judged = person.id in state.readers or (oversees and state.phase == "settled")
    shown = judged or (model_first and case.kind not in BLIND)
    mine = lease is not None and lease.holder == person.id
    why = shown or (oversees and not mine)  # who oversees the queue knows the levels of what waits, too
    deciding = state.pending is not None and state.pending.reviewer == person.id
    return CaseView(
        id=shown_id(case),
        task=case.task,
        kind=case.kind if shown or case.kind == "unread" else "escalation",
        phase=state.phase,
        stage=state.stage if judged or oversees or state.stage == "lead" else "first",
        message_id=case.message_id,
        conversation_id=case.conversation_id,
        author_id=case.author_id,
        opened_at=case.opened_at,
        sent_at=case.sent_at,
        levels=list(severity_levels(case)),
        has_text=case.text is not None,
        text_shortened=case.text_shortened,
        unread_because=case.unread_because,
        raised=state.raised if why else [],
        repeats=state.repeats if why else {},
        holder=lease.holder if lease else None,
        until=lease.until if lease and state.phase == "claimed" else None,
        mine=mine,
        lease=lease.id if lease and (mine or person.may("lead")) and state.phase == "claimed" else None,
        reader=state.reader,
        decision=_outcome(state) if judged or deciding else None,
        undo_until=state.undo_until,
        judgements=_judgements(state) if judged else [],
        history=steps_of(state, state.history if judged else _since_it_waits(state, raised=why)),
        model=_model_view(state) if shown else None,
        script=state.script,
    )


def _since_it_waits(state: CaseState, *, raised: bool) -> Iterator[Step]:
    """The steps towards the next judgement; with `raised`, those too that say what raised the case."""
    begin = max((at for at, step in enumerate(state.history, 1) if step.action in _ANEW), default=0)
    yield from (step for step in state.history[begin:] if raised or step.action != "raised")


def _outcome(state: CaseState) -> Outcome | None:
    if (pending := state.pending) is not None:
        note = pending.note or _opened(state, state.note)
        return Outcome(pending.finding, pending.severity, pending.reviewer, pending.decided_at, note)
    if state.phase != "settled" or (stands := state.standing) is None:
        return None
    note = _opened(state, stands.remark)
    return Outcome(stands.finding, stands.severity, stands.reader, stands.decided_at, note)


def steps_of(state: CaseState, steps: Iterable[Step]) -> list[Step]:
    """These of its steps, with what somebody typed as a step's reason."""
    return [replace(step, reason=step.reason or _opened(state, step.remark), remark=None) for step in steps]


def _judgements(state: CaseState) -> list[Judgement]:
    return [replace(judged, remark=_opened(state, judged.remark)) for judged in state.judgements]


def _opened(state: CaseState, sealed: str | None) -> str | None:
    return open_remark(sealed, state.remarks_key, state.case.id)


def _model_view(state: CaseState) -> ModelView:
    case = state.case
    return ModelView(
        kind=case.kind,
        verdict=case.verdict,
        risk=case.risk,
        severity=case.severity,
        reasons=case.reasons,
        highlights=case.highlights,
        priority=case.priority,
        thresholds=case.thresholds,
        bundle=case.bundle,
        scored_by=case.scored_by,
    )
