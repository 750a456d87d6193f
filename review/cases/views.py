"""What a person may see of a case now. Pure.

The model's view is left out until this person has judged the case, or it is decided. So nobody's judgement
leans on the model's, and a quality sample or a golden item looks like every other case. The text is separate:
`Desk.reveal` gives it to whoever may read it.
"""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from review.cases.entries import CaseState, Judgement, Phase, Stage, Step
from review.cases.form import severity_levels
from review.cases.script import Script
from review.people import Person
from review.retention.remarks import open_remark
from schemas.events import Highlight, Severity, Thresholds
from schemas.reasons import DeadLetterReason, Reason
from schemas.vocabulary import CaseKind, Finding, Verdict


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

    `kind` is `escalation` for all that are blind. `holder` is who has it, until `until`; `mine` says that it
    is the viewer. `decision` is the pending or the standing one; a pending one is published at `undo_until`.
    `raised` names why the case comes first, and `repeats` how many cases at risk
    there were of that `author` or `conversation` within 24 hours. `judgements` are earlier readings, and
    empty while they could sway this one. `script` is that of the text; None where nobody knows.
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


def view(state: CaseState, person: Person, *, model_first: bool) -> CaseView:
    """The case as this person may see it. `model_first` shows the model's view before their judgement."""
    case, lease = state.case, state.lease
    judged = state.phase in {"decided", "settled"} or person.id in state.readers
    shown = judged or (model_first and case.kind not in {"quality_sample", "golden"})
    return CaseView(
        id=case.id,
        task=case.task,
        kind=case.kind if shown or case.kind == "unread" else "escalation",
        phase=state.phase,
        stage=state.stage,
        message_id=case.message_id,
        conversation_id=case.conversation_id,
        author_id=case.author_id,
        opened_at=case.opened_at,
        sent_at=case.sent_at,
        levels=list(severity_levels(case)),
        has_text=case.text is not None,
        text_shortened=case.text_shortened,
        unread_because=case.unread_because,
        raised=state.raised,
        repeats=state.repeats,
        holder=lease.holder if lease else None,
        until=lease.until if lease and state.phase == "claimed" else None,
        mine=lease is not None and lease.holder == person.id,
        lease=lease.id if lease and lease.holder == person.id and state.phase == "claimed" else None,
        reader=state.reader,
        decision=_outcome(state),
        undo_until=state.undo_until,
        judgements=_judgements(state) if judged else [],
        history=steps_of(state),
        model=_model_view(state) if shown else None,
        script=state.script,
    )


def _outcome(state: CaseState) -> Outcome | None:
    if (pending := state.pending) is not None:
        note = pending.note or _opened(state, state.note)
        return Outcome(pending.finding, pending.severity, pending.reviewer, pending.decided_at, note)
    if state.phase != "settled" or (stands := state.standing) is None:
        return None
    note = _opened(state, stands.remark)
    return Outcome(stands.finding, stands.severity, stands.reader, stands.decided_at, note)


def steps_of(state: CaseState) -> list[Step]:
    """The history, with what somebody typed as the step's reason."""
    return [
        replace(step, reason=step.reason or _opened(state, step.remark), remark=None)
        for step in state.history
    ]


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
