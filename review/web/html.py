"""Renders the queue as HTML. Jinja escapes everything, and the page has no inline script or style."""

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from review.cases.entries import CaseState, Unreadable, case_key
from review.cases.form import severity_levels
from review.desk import Desk, Table
from review.people import Person
from review.present import Present
from review.queue.order import Filter, Page
from schemas.events import Highlight, ReviewCase
from schemas.reasons import DEAD_LETTER_REASONS, REASONS
from schemas.vocabulary import CASE_KINDS, FINDINGS

NOBODY = Person("", "", frozenset())


class Overview(msgspec.Struct, frozen=True):
    """A page of the queue, with the counts and choices shown around it."""

    page: Page[ReviewCase]
    tasks: list[str]
    levels: dict[str, tuple[str, ...]]
    unreadable: int
    last_unreadable: Unreadable | None


def overview(
    desk: Desk, table: Table, present: Present, wanted: Filter, *, offset: int, limit: int
) -> Overview:
    """Everything that the page shows."""
    found = desk.queue(wanted, NOBODY, offset=offset, limit=limit)
    cases = [
        state.case for view in found.cases if isinstance(state := table.get(case_key(view.id)), CaseState)
    ]
    return Overview(
        page=Page(cases, found.total, offset, limit),
        tasks=sorted({*present.queue.tasks(), *([wanted.task] if wanted.task else [])}),
        levels={case.id: tuple(severity_levels(case)) for case in cases},
        unreadable=len(present.unreadable),
        last_unreadable=max(present.unreadable.values(), key=lambda record: record.seen_at, default=None),
    )


UNREAD = {reason: meaning.shown_as for reason, meaning in DEAD_LETTER_REASONS.items() if meaning.shown_as}


def age(opened_at: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that fits: 45 s, 12 min, 5 h, 3 d."""
    if opened_at.tzinfo is None:
        opened_at = opened_at.replace(tzinfo=UTC)
    seconds = max(0, int((now - opened_at).total_seconds()))
    for unit, size, until in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
        if seconds < until:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86400} d"


def pieces(case: ReviewCase) -> Iterator[tuple[str, Highlight | None]]:
    """Yield the case's text in pieces, each with the highlight that it is.

    A highlight that does not fit the text, or overlaps the one before it, is left out: any producer may have
    written it. So are all of them where the text was shortened, because they are places in the whole text.
    """
    text, at = case.text or "", 0
    fitting = [] if case.text_shortened else sorted(case.highlights, key=lambda each: each.start)
    for each in fitting:
        if at <= each.start < each.end <= len(text):
            yield text[at : each.start], None
            yield text[each.start : each.end], each
            at = each.end
    yield text[at:], None


def words(name: str) -> str:
    """An identifier in words for people."""
    return name.replace("_", " ").replace("-", " ")


def link(wanted: Filter, offset: int) -> str:
    """The URL of another page of the same queue."""
    fields = {"task": wanted.task, "kind": wanted.kind, "offset": offset or None}
    return "/?" + urlencode({name: value for name, value in fields.items() if value is not None})


_environment = Environment(
    loader=PackageLoader("review.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["words"] = words
_environment.globals.update(
    reasons=REASONS,
    unread=UNREAD,
    kinds=CASE_KINDS,
    findings=FINDINGS,
    link=link,
    age=age,
    pieces=pieces,
)


def render_queue(overview: Overview | None, wanted: Filter, held: int, partitions: int) -> str:
    """The page. `overview` is None while the table is being recovered."""
    return _environment.get_template("queue.html").render(
        overview=overview, wanted=wanted, held=held, partitions=partitions, now=datetime.now(UTC)
    )
