"""The rows of the queue in the words of one language. Pure."""

from collections.abc import Iterable, Iterator

import msgspec

from review.cases.views import CaseView
from review.queue.answers import Place
from review.web.pages.language import Words
from review.web.pages.shown import Shower


class Row(msgspec.Struct, frozen=True):
    """One case. `due_left` is in seconds; None tells no deadline, since it would tell the model's level.

    `in_conversation` counts the open cases of its conversation, this one too.
    """

    id: str
    kind: str
    task: str
    level: str
    sent: str
    due_left: int | None
    overdue: bool | None
    holder: str
    conversation: str
    in_conversation: int
    grouped: bool
    why: list[str]


def rows(found: Iterable[tuple[CaseView, Place]], shower: Shower, t: Words) -> Iterator[Row]:
    """One row for each case. Those of one conversation stand together, behind the most urgent of them."""
    before: str | None = None
    for view, place in found:
        conversation = place.conversation
        yield Row(
            id=view.id,
            kind=t.named("kind", view.kind),
            task=shower.task(view.task),
            level=shower.level(view.task, place.level) if place.level else "",
            sent=shower.lasting_since(place.since),
            due_left=None if place.due is None else shower.left(place.due),
            overdue=place.overdue,
            holder=shower.holder(view),
            conversation=conversation or "",
            in_conversation=place.further + 1,
            grouped=conversation is not None and conversation == before,
            why=shower.raised(view),
        )
        before = conversation
