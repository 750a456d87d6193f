"""The other words that events are made of, each defined here, once. Their reasons are in `reasons.py`."""

from collections.abc import Mapping
from typing import Final, Literal

Verdict = Literal["clear", "at_risk", "uncertain"]
Reading = Literal["prompted", "pooled"]
CaseKind = Literal["escalation", "quality_sample", "unread", "golden"]
Finding = Literal["at_risk", "not_at_risk", "unsure"]
CaseAction = Literal[
    "raised",
    "claimed",
    "extended",
    "released",
    "expired",
    "decided",
    "undone",
    "referred",
    "settled",
    "reopened",
    "appealed",
    "discarded",
    "erased",
]

CASE_KINDS: Final[Mapping[CaseKind, str]] = {
    "escalation": "Escalation",
    "unread": "Not screened",
    "quality_sample": "Quality sample",
    "golden": "Golden item",
}
FINDINGS: Final[Mapping[Finding, str]] = {
    "at_risk": "At risk",
    "not_at_risk": "Not at risk",
    "unsure": "Unsure",
}
CASE_ACTIONS: Final[Mapping[CaseAction, str]] = {
    "raised": "Its priority was raised",
    "claimed": "A reviewer took it",
    "extended": "The reviewer keeps it longer",
    "released": "The reviewer gave it back, or handed it over",
    "expired": "The reviewer's time ran out",
    "decided": "A reviewer decided; it can be undone for a moment",
    "undone": "The reviewer took the decision back",
    "referred": "The reviewer was unsure: a second reader is asked",
    "settled": "The decision stands, and is published",
    "reopened": "A lead asked for another decision",
    "appealed": "Somebody concerned asked for another decision",
    "discarded": "A lead set aside the events that were held on it",
    "erased": "Somebody asked to erase the words of a message or an author",
}
