"""What a webhook says: which case, since when it waits, and until when it should not. No text, no verdict.

`due` follows from the level that the model guessed: do not show it to those who judge the case.
"""

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from review.queue.waiting import Waiting

NoticeType = Literal["case.opened", "case.overdue"]
_FIRST: Final = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


class Notice(msgspec.Struct, frozen=True):
    """One thing to tell. `id` follows from the case, so that telling it twice can be noticed."""

    id: str
    type: NoticeType
    timestamp: datetime
    data: "About"


class About(msgspec.Struct, frozen=True):
    """The case that a notice is about. `since` is when the message was sent, or the case opened again."""

    case_id: str
    task: str
    since: datetime
    due: datetime
    conversation_id: str | None


def notice_id(kind: NoticeType, entry: Waiting) -> str:
    """The id of a notice. A case that is opened again, by a lead or an appeal, is told again."""
    return f"{kind}:{entry.id}:{entry.since:.3f}"


def notice_of(kind: NoticeType, entry: Waiting, due: float, now: float) -> Notice:
    """Make a notice. Times are in Unix seconds."""
    return Notice(
        notice_id(kind, entry),
        kind,
        _utc(now),
        About(entry.id, entry.task, _utc(entry.since), _utc(due), entry.conversation),
    )


def _utc(at: float) -> datetime:
    # By a clock that is wrong, a deadline may lie in a year that no time can name.
    return datetime.fromtimestamp(min(max(at, _FIRST), _LAST), UTC)
