"""Review cases for tests of the desk. The texts are our own."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.events import Highlight, Origin, ReviewCase, Severity

TEXTS = (
    "since the move I only speak to the cat, and I have stopped answering my sister",
    "I can't sleep again, it is the third week, and at work I just stare at the screen",
    "sorry for being short earlier. everything is a lot right now",
    "they cut my shifts, and the rent is due on Friday. I don't know whom to ask",
    "tired, but the concert on Friday is keeping me going!",
)
LEVELS = {
    "stress": ["low", "moderate", "high"],
    "suicide-risk": ["supportive", "indicator", "ideation", "behaviour", "attempt"],
}
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "</div><style>body{display:none}</style> paid\u202e.ecno ta ti dnes\u202c so\u200br\u200bry"
    "\ufeff\u2066 hi\u2069 \U000e0068\U000e0069 e" + "\u0301" * 30
)


def a_case(number: int, *, task: str = "stress", **changes: Any) -> ReviewCase:
    """An escalation. Those with lower numbers are more urgent."""
    now, levels = datetime.now(UTC), LEVELS.get(task, [])
    fields: dict[str, Any] = {
        "id": f"case:messages:0:{number}",
        "label_id": f"label:messages:0:{number}",
        "message_id": f"m-{number}",
        "origin": Origin("messages", 0, number),
        "task": task,
        "kind": "escalation",
        "verdict": "at_risk",
        "risk": 0.9,
        "severity": Severity(levels[-1], {levels[-1]: 0.6}) if levels else None,
        "priority": max(1.0, 90.0 - number % 80),
        "reasons": ["above_upper_threshold"],
        "bundle": "0" * 64,
        "conversation_id": None,
        "text": TEXTS[number % len(TEXTS)],
        "opened_at": now - timedelta(seconds=600 - number),
        "levels": levels,
        "highlights": [Highlight(6, 14, 0.4)],
        "author_id": f"user-{number % 7}",
        "sent_at": now - timedelta(seconds=601 - number),
    }
    return ReviewCase(**{**fields, **changes})


def an_unread_case(number: int, **changes: Any) -> ReviewCase:
    """A record that no model has read."""
    unread: dict[str, Any] = {
        "kind": "unread",
        "label_id": None,
        "verdict": None,
        "risk": None,
        "severity": None,
        "reasons": [],
        "bundle": None,
        "highlights": [],
        "dead_letter_id": f"dead-letter:messages:0:{number}",
        "unread_because": "invalid_json",
        "text": '{"id": "m-1", "text": "is anybo',
    }
    return a_case(number, **{**unread, **changes})
