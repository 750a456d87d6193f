"""The other words that events are made of, each defined here, once. Their reasons are in `reasons.py`."""

from collections.abc import Mapping
from typing import Final, Literal

Verdict = Literal["clear", "at_risk", "uncertain"]
Reading = Literal["prompted", "pooled"]
CaseKind = Literal["escalation", "quality_sample", "unread"]
Finding = Literal["at_risk", "not_at_risk", "unsure"]

CASE_KINDS: Final[Mapping[CaseKind, str]] = {
    "escalation": "Escalation",
    "unread": "Not screened",
    "quality_sample": "Quality sample",
}
FINDINGS: Final[Mapping[Finding, str]] = {
    "at_risk": "At risk",
    "not_at_risk": "Not at risk",
    "unsure": "Unsure",
}
