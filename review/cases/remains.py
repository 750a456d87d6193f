"""What remains of a case once its content is forgotten: a small marker, and what figures need. Pure."""

from datetime import datetime

import msgspec

from review.cases.state import CaseState, Judgement
from schemas.vocabulary import CaseKind, Finding


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What figures need to know of a settled case, and nothing that says whose it is.

    `since` is when the message was sent, or else the case opened; `guess` is the model's level, and `flagged`
    whether the model escalated it. `judgements` are in their order. `golden` is the item that it is of.
    """

    task: str
    kind: CaseKind
    since: datetime
    guess: str | None
    flagged: bool
    judgements: list[Judgement]
    golden: str | None = None


class Decided(msgspec.Struct, frozen=True, tag="decided", omit_defaults=True):
    """What remains of a settled case: who decided what and when, without any text.

    `tell_at` is when the broker is to be told once more to forget the text, since the case has come again.
    """

    decision_id: str
    case_id: str
    reviewer: str
    finding: Finding
    severity: str | None
    decided_at: datetime
    partition: int
    revision: int = 0
    summary: Summary | None = None
    tell_at: datetime | None = None


def forget(state: CaseState) -> CaseState | Decided:
    """Return the entry without the message's content. Of a settled case only the marker remains."""
    stands = state.standing
    if state.phase == "settled" and stands is not None:
        return Decided(
            stands.decision_id,
            state.case.id,
            stands.reader,
            stands.finding,
            stands.severity,
            stands.decided_at,
            state.partition,
            state.revision,
            summary=summary(state),
        )
    bare = msgspec.structs.replace(state.case, text=None, highlights=[])
    return msgspec.structs.replace(state, case=bare)


def summary(state: CaseState) -> Summary:
    """What figures need to know of a settled case."""
    case = state.case
    return Summary(
        case.task,
        case.kind,
        case.sent_at or case.opened_at,
        case.severity.level if case.severity else None,
        case.verdict in {"at_risk", "uncertain"},
        [msgspec.structs.replace(judged, remark=None) for judged in state.judgements],
        (case.label_id or "").removeprefix("golden:") if case.kind == "golden" else None,
    )
