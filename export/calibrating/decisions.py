"""The share of a stream at risk, from review cases and what people decided about them."""

from collections import Counter
from collections.abc import Iterable

from engine.bundle.calibration import Share
from export.calibrating.share import Decided, from_decisions
from schemas.events import ReviewCase, ReviewDecision
from schemas.vocabulary import CaseKind


def share_of_decisions(
    cases: Iterable[ReviewCase], decisions: Iterable[ReviewDecision], task: str, sampled: float
) -> Share:
    """Estimate the share from the cases of `task`: escalations, and quality samples of the clear messages.

    `sampled` is the share of clear messages that became quality samples. Of several decisions about a case
    the last counts; `unsure` is none. Cases that no model read belong to no label and count nowhere. Raises
    TaskError as `from_decisions` does.
    """
    kinds: dict[str, CaseKind] = {case.id: case.kind for case in cases if case.task == task}
    findings = {each.case_id: each.finding for each in decisions if each.case_id in kinds}
    there = Counter(kinds.values())
    counted = Counter((kinds[case], finding) for case, finding in findings.items() if finding != "unsure")

    def decided(kind: CaseKind) -> Decided:
        ill = counted[kind, "at_risk"]
        return Decided(there[kind], ill + counted[kind, "not_at_risk"], ill)

    return from_decisions(decided("escalation"), decided("quality_sample"), sampled)
