"""The page of figures, for leads and auditors: what waits, how fast it is decided, how far people agree."""

from collections.abc import Iterator
from typing import Final

import msgspec
from aiohttp import web
from markupsafe import Markup

from review.access import requires
from review.figures.agreement import Interval
from review.figures.golden import read_golden
from review.figures.kept import KeptFigures
from review.figures.summary import FEWEST, Figures
from review.stepping import utc_now
from review.web.pages.capacity_words import capacity_words
from review.web.pages.frame import Frame
from review.web.pages.language import Words
from review.web.pages.plots import Bar, bars, columns, interval
from review.web.pages.shown import Shower

SPANS: Final = (1, 7, 30)
_FINDINGS: Final = ("at_risk", "not_at_risk", "unsure")


class Figure(msgspec.Struct, frozen=True):
    """One figure: a heading, a plot, what it means in words, and its numbers as a table."""

    heading: str
    plot: Markup
    says: list[str]
    head: list[str] = []
    rows: list[list[str]] = []


class FiguresPages:
    """The handler of the page. Raises DeskError: the file of golden items cannot be used."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        golden = read_golden(frame.review.settings.golden)
        present = frame.review.present
        self._kept = KeptFigures(
            lambda: list(present.settled.values()),
            present.queue.backlog,
            utc_now,
            {name: item.finding for name, item in golden.items()},
        )

    def add_to(self, application: web.Application) -> None:
        """Add the route."""
        application.router.add_get("/figures", self.figures)

    @requires("lead", "auditor")
    async def figures(self, request: web.Request) -> web.Response:
        """Every figure, of the last 1, 7 or 30 days."""
        frame, t = self.frame, self.frame.words(request)
        frame.acted(request)
        if not frame.review.ready:
            return frame.recovering(request)
        asked = request.query.get("days", "")
        days = int(asked) if asked in map(str, SPANS) else 7
        kept = await self._kept.of(days)
        found, shower = kept.figures, frame.shower(request)
        return frame.page(
            request,
            "figures.html",
            here="figures",
            days=days,
            spans=SPANS,
            as_of=t("figures.as_of", at=f"{kept.at:%H:%M:%S}"),
            capacity=list(capacity_words(frame.review.desk.capacity(), t, shower)),
            shown=list(_shown(found, t, frame, shower)),
        )


def _shown(found: Figures, t: Words, frame: Frame, shower: Shower) -> Iterator[Figure]:
    yield _backlog(found, t, shower)
    yield _days(found, t)
    if found.speeds:
        yield _speeds(found, t, shower)
    agreed = [t("figures.disagreed", n=found.disagreed)] if found.agreement else []
    for heading, value, says in (
        (t("figures.agreement"), found.agreement, [*agreed, t("figures.agreement.says")]),
        (t("figures.missed"), found.samples_at_risk, [t("figures.missed.says")]),
        (t("figures.precision"), found.escalations_at_risk, [t("figures.precision.says")]),
    ):
        yield _interval(t, heading, value, says)
    if found.golden:
        rows = [
            Bar(frame.name(each.reader), each.right / each.of, f"{each.right}/{each.of}")
            for each in found.golden
        ]
        yield Figure(t("figures.golden"), bars(t("figures.golden"), rows), [t("figures.golden.says")])


def _backlog(found: Figures, t: Words, shower: Shower) -> Figure:
    rows = [
        Bar(
            shower.lane(each.task, each.kind, each.level),
            each.open,
            str(each.open),
            each.overdue,
        )
        for each in found.backlog
        if each.open
    ]
    heading = t("figures.backlog")
    table = [[row.name, row.said, f"{row.part:g}"] for row in rows]
    head = [t("figures.level"), t("figures.open"), t("figures.overdue")]
    return Figure(
        heading, bars(heading, rows), [t("figures.backlog.says" if rows else "queue.empty")], head, table
    )


def _days(found: Figures, t: Words) -> Figure:
    heading = t("figures.decided")
    days = [
        (f"{day.day:%m-%d}", [(name.replace("_", "-"), day.findings.get(name, 0)) for name in _FINDINGS])
        for day in found.days
    ]
    head = [t("figures.day"), *(t(f"finding.{name}") for name in _FINDINGS)]
    table = [[day, *(str(count) for _, count in parts)] for day, parts in days]
    says = t("figures.decided.says", parts=", ".join(t(f"finding.{name}") for name in _FINDINGS))
    return Figure(heading, columns(heading, days), [says], head, table)


def _speeds(found: Figures, t: Words, shower: Shower) -> Figure:
    heading = t("figures.speed")
    rows = [
        Bar(
            shower.lane(each.task, each.kind, each.level),
            each.ninth_tenth,
            t.lasting(each.ninth_tenth),
            each.median,
        )
        for each in found.speeds
    ]
    head = [t("figures.level"), t("figures.cases"), t("figures.median"), t("figures.ninth_tenth")]
    table = [
        [row.name, str(each.cases), t.lasting(each.median), t.lasting(each.ninth_tenth)]
        for row, each in zip(rows, found.speeds, strict=True)
    ]
    return Figure(heading, bars(heading, rows), [t("figures.speed.says")], head, table)


def _interval(t: Words, heading: str, found: Interval | None, says: list[str]) -> Figure:
    if found is None:
        return Figure(heading, Markup(""), [*says, t("figures.nothing")])
    said = t(
        "figures.interval",
        value=f"{found.value:.2f}",
        low=f"{found.low:.2f}",
        high=f"{found.high:.2f}",
        n=found.cases,
    )
    few = [t("figures.few", n=FEWEST)] if found.cases < FEWEST else []
    plot = interval(f"{heading}: {said}", found.low, found.value, found.high)
    return Figure(heading, plot, [said, *few, *says])
