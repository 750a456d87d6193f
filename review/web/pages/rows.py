"""The rows of the queue in the words of one language. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from review.cases.views import CaseView
from review.web.pages.language import Words
from review.web.pages.shown import Shower


class Row(msgspec.Struct, frozen=True):
    """One case. `due_left` is in seconds, and None where no deadline is told; `in_conversation` counts others."""

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
