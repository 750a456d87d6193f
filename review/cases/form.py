"""Checks what a reviewer sends, field by field, and makes the decision from it. Pure.

bytes ──JSON, types──► Form ──rules of this case──► ReviewDecision
        InvalidForm          InvalidForm
"""

from collections.abc import Sequence
from datetime import datetime
from typing import get_args

import msgspec

from review.cases.state import CaseState
from review.errors import InvalidFormError
from schemas.events import ReviewCase, ReviewDecision
from schemas.ids import decision_id
from schemas.vocabulary import Finding

MAX_NOTE = 4000
MAX_SEVERITY = 120
MAX_LEASE = 64


class Form(msgspec.Struct, frozen=True):
    """A decision as the browser or another program sends it. Blank strings count as absent.

    `lease` is the id of the claim that it belongs to. Who decides is whoever is signed in.
    """

    finding: Finding
    lease: str
    severity: str | None = None
    note: str | None = None


def parse_form(body: bytes) -> Form:
    """Read a form. Raises InvalidFormError, which names every wrong field and not only the first."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidFormError({"body": "must be one JSON object"}) from None
    faults: dict[str, str] = {}
    if fields.get("finding") not in get_args(Finding):
        faults["finding"] = f"must be one of {', '.join(get_args(Finding))}"
    texts = {
        name: _text(fields.get(name), name, limit, faults)
        for name, limit in (("lease", MAX_LEASE), ("severity", MAX_SEVERITY), ("note", MAX_NOTE))
    }
    if texts["lease"] is None:
        faults.setdefault("lease", "must not be empty: claim the case first")
    if faults:
        raise InvalidFormError(faults)
    return msgspec.convert({"finding": fields["finding"], **texts}, Form)


def _text(value: object, name: str, limit: int, faults: dict[str, str]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        faults[name] = "must be a string"
        return None
    if len(value) > limit:
        faults[name] = f"must be at most {limit} characters"
    elif not value.isprintable() and name != "note":
        faults[name] = "must not hold control characters"
    elif any("\ud800" <= character <= "\udfff" for character in value):
        faults[name] = "must be valid Unicode"
    return value.strip() or None


def severity_levels(case: ReviewCase) -> Sequence[str]:
    """The levels that a reviewer may choose, least severe first, as the worker wrote them on the case.

    A case of a version before 4 has them only where it has a severity. Empty where nobody knows them.
    """
    return tuple(case.levels or (case.severity.scores if case.severity else ()))


def to_decision(form: Form, state: CaseState, reviewer: str, now: datetime) -> ReviewDecision:
    """Make the decision from a form, without its note. Where the case has no levels, any word goes.

    Raises InvalidFormError: a severity without the finding at_risk, or one that the task does not have.
    """
    case, stands, levels = state.case, state.standing, severity_levels(state.case)
    if form.severity is not None and form.finding != "at_risk":
        raise InvalidFormError({"severity": "only goes with the finding at_risk"})
    if form.severity is not None and levels and form.severity not in levels:
        raise InvalidFormError({"severity": f"must be one of {', '.join(levels)}"})
    return ReviewDecision(
        id=decision_id(case.id, reviewer, len(state.judgements)),
        case_id=case.id,
        message_id=case.message_id,
        task=case.task,
        reviewer=reviewer,
        finding=form.finding,
        severity=form.severity,
        note=None,
        decided_at=now,
        supersedes=stands.decision_id if stands else None,
        bundle=case.bundle,
        scored_by=case.scored_by,
    )
