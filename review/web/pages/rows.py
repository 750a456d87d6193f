"""The rows of the queue in the words of one language. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from review.cases.views import CaseView
from review.web.pages.language import Words
from review.web.pages.shown import Shower


class Row(msgspec.Struct, frozen=True):
    """One case. `due_left` is in seconds; None tells no deadline. `in_conversation` counts this one, too."""

    id: str
    kind: str
    task: str
    level: str
    sent: str
    due_left: int | None
    holder: str
    conversation: str
    in_conversation: int
    grouped: bool
    why: list[str]


def rows(views: Sequence[CaseView], shower: Shower, t: Words) -> Iterator[Row]:
    """One row for each case; those of one conversation stand together, under the most urgent of them."""
    sizes = Counter(view.conversation_id for view in views)
    before: str | None = None
    for view in together(views):
        conversation = view.conversation_id
        severity = view.model.severity if view.model else None
        yield Row(
            id=view.id,
            kind=t.named("kind", view.kind),
            task=shower.task(view.task),
            level=shower.level(view.task, severity.level) if severity else "",
            sent=shower.lasting_since(view.sent_at or view.opened_at),
            due_left=None,
            holder=shower.holder(view),
            conversation=conversation or "",
            in_conversation=sizes[conversation] if conversation else 0,
            grouped=conversation is not None and conversation == before,
            why=[t.named("raised", each) for each in view.raised],
        )
        before = conversation


def together(views: Sequence[CaseView]) -> list[CaseView]:
    """The same cases, with those of one conversation behind its first."""
    groups: dict[str, list[CaseView]] = {}
    for view in views:
        groups.setdefault(view.conversation_id or f"\0{view.id}", []).append(view)
    return [view for group in groups.values() for view in group]
