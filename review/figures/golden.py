"""Golden items: cases whose answer is known, read blind among the others, to see how reviewers do.

A file holds one item a line: `id`, `task`, `text`, `finding`, and `levels` and `severity` where the task has
them. Write them yourselves; a person's real message is no exercise. `mimamori golden` sends them as cases. A
reviewer is not told which they are: only `label_id`, which the desk shows to nobody, says it. Somebody who
looks for them can still know them by the offset in their ids, which is larger than a real topic's, and by
having neither author nor conversation.
"""

import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from review.errors import DeskError
from schemas.events import Origin, ReviewCase
from schemas.ids import case_id
from schemas.vocabulary import Finding

LABEL: Final = "golden:"
# Beyond the offsets of any real topic, so that no message's case has this id.
FIRST_OFFSET: Final = 10**15


class GoldenItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One item. `severity` is one of `levels`."""

    id: str
    task: str
    text: str
    finding: Finding
    levels: list[str] = []
    severity: str | None = None


def read_golden(path: Path | None) -> dict[str, GoldenItem]:
    """The items of a file by id; none without a file. Raises DeskError naming the line that is wrong."""
    items: dict[str, GoldenItem] = {}
    if path is None:
        return items
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DeskError(f"cannot read the golden items of {path}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = msgspec.json.decode(line, type=GoldenItem)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise DeskError(
                f"{path}, line {number}: is no golden item: it needs id, task, text and finding, and may "
                "have levels and severity"
            ) from None
        if not item.id or item.id in items:
            raise DeskError(f"{path}, line {number}: `id` must not be empty, nor one of a line above")
        if item.severity is not None and item.severity not in item.levels:
            raise DeskError(f"{path}, line {number}: `severity` must be one of `levels`")
        items[item.id] = item
    return items


def golden_case(item: GoldenItem, messages_topic: str, now: datetime) -> ReviewCase:
    """A new case of an item, as if it were of that topic: an escalation of middling priority."""
    origin = Origin(messages_topic, secrets.randbelow(12), FIRST_OFFSET + secrets.randbelow(FIRST_OFFSET))
    return ReviewCase(
        id=case_id(origin),
        label_id=f"{LABEL}{item.id}",
        message_id=secrets.token_hex(8),
        origin=origin,
        task=item.task,
        kind="golden",
        verdict=None,
        risk=None,
        severity=None,
        priority=50.0,
        reasons=[],
        bundle=None,
        conversation_id=None,
        text=item.text,
        opened_at=now,
        levels=item.levels,
        # Real messages wait a moment for the worker.
        sent_at=now - timedelta(milliseconds=200 + secrets.randbelow(5000)),
    )
