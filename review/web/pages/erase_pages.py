"""A lead has the words of a message or of an author erased: what will go, from where, and by when.

Nothing is erased by an address: the id comes in a form, and stands in no log of addresses.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, get_args

import msgspec
import structlog
from aiohttp import web

from review.access import requires
from review.cases.state import CaseState
from review.erasing import Erased
from review.errors import DecisionRefusedError, DeskError
from review.people import Person
from review.retention.forgetting import What, erasure_id
from review.retention.holdings import Holding
from review.web.pages.frame import Frame, see_other
from review.web.pages.language import Words

log = structlog.get_logger()

LONGEST: Final = 256
SHOWN: Final = 50


class Meant(msgspec.Struct, frozen=True):
    """A case that an erasure takes the words of."""

    id: str
    title: str
    state: str


class Held(msgspec.Struct, frozen=True):
    """What a topic holds, and until when at the latest."""

    topic: str
    what: str
    until: str


class ErasePages:
    """The handlers of the pages for leads."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._review = frame.review

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/erase", self.ask)
        application.router.add_post("/erase", self.look)
        application.router.add_get("/erase/done", self.back)
        application.router.add_post("/erase/done", self.erase)

    @requires("lead")
    async def ask(self, request: web.Request) -> web.Response:
        """Ask which message, or which author."""
        self.frame.acted(request)
        return self._page(request)

    @requires("lead")
    async def back(self, _request: web.Request) -> web.Response:
        """The address of a form's answer, loaded again: nothing is erased by that."""
        return see_other("/erase")

    @requires("lead")
    async def look(self, request: web.Request) -> web.Response:
        """Say what will go, and ask whether it is meant."""
        person = self.frame.acted(request)
        if not self._review.ready:
            return self.frame.recovering(request)
        if (named := await _named(request)) is None:
            return self._page(request, status=422, problem=self.frame.words(request)("erase.missing"))
        return await self._look(request, person, *named)

    @requires("lead")
    async def erase(self, request: web.Request) -> web.Response:
        """Erase, and say what the desks have answered."""
        person, t = self.frame.acted(request), self.frame.words(request)
        if not self._review.ready:
            return self.frame.recovering(request)
        if (named := await _named(request)) is None:
            return self._page(request, status=422, problem=t("erase.missing"))
        if (await request.post()).get("meant") != "yes":
            return await self._look(request, person, *named, problem=t("erase.not_meant"), status=422)
        what, wanted = named
        try:
            held = await self._review.erasing.held()
            erased = await self._review.erasing.ask(what, wanted, person)
        except DeskError as error:
            log.warning("erasure_not_asked", error=str(error))
            return self._page(request, status=503, problem=t("erase.failed"))
        here = sorted(self._known(erased, person))
        return self._page(
            request,
            what=what,
            wanted=wanted,
            done=here,
            more=len(erased.cases) - len(here),
            silent=len(erased.silent),
            held=list(_held(held, erased.asked_at, t)),
        )

    async def _look(
        self,
        request: web.Request,
        person: Person,
        what: What,
        wanted: str,
        *,
        problem: str = "",
        status: int = 200,
    ) -> web.Response:
        t, review = self.frame.words(request), self._review
        try:
            await review.trail.listed(person, erasure_id(what, wanted))
            meant = await review.erasing.meant(what, wanted)
            held = await review.erasing.held()
        except DecisionRefusedError as error:
            return self._page(request, status=error.status, problem=self.frame.problem(request, error))
        except DeskError as error:
            log.warning("holdings_not_known", error=str(error))
            return self._page(request, status=503, problem=t("erase.failed"))
        return self._page(
            request,
            status=status,
            what=what,
            wanted=wanted,
            problem=problem,
            meant=[self._meant(request, person, state) for state in meant[:SHOWN]],
            more=max(0, len(meant) - SHOWN),
            still_open=sum(state.phase != "settled" for state in meant),
            held=list(_held(held, datetime.now(UTC), t)),
        )

    def _known(self, erased: Erased, person: Person) -> Iterator[str]:
        """The ids by which this desk shows what was erased. Another desk's cases, only that one can name."""
        for case_id in erased.cases:
            with suppress(DecisionRefusedError):
                yield self._review.desk.find(case_id, person).id

    def _meant(self, request: web.Request, person: Person, state: CaseState) -> Meant:
        t, shower = self.frame.words(request), self.frame.shower(request)
        case = shower.case(self._review.desk.find(state.case.id, person), lead=True)
        return Meant(case.id, case.title, t("erase.again") if state.erased_at else case.state_words)

    def _page(
        self,
        request: web.Request,
        *,
        status: int = 200,
        what: What = "message",
        wanted: str = "",
        problem: str = "",
        meant: list[Meant] | None = None,
        more: int = 0,
        still_open: int = 0,
        held: list[Held] | None = None,
        done: list[str] | None = None,
        silent: int = 0,
    ) -> web.Response:
        return self.frame.page(
            request,
            "erase.html",
            status=status,
            here="erase",
            what=what,
            wanted=wanted,
            problem=problem,
            meant=meant,
            more=more,
            still_open=still_open,
            held=held,
            done=done,
            silent=silent,
        )


async def _named(request: web.Request) -> tuple[What, str] | None:
    """What to erase, as the form says it; None where it says nothing that there could be."""
    form = await request.post()
    what = next((known for known in get_args(What) if known == form.get("what")), None)
    wanted = str(form.get("wanted", ""))
    return None if what is None or not wanted.strip() or len(wanted) > LONGEST else (what, wanted)


def _held(held: list[Holding], since: datetime, t: Words) -> Iterator[Held]:
    for each in held:
        until = t("erase.for_ever")
        if each.gone_after is not None:
            ago = t.lasting(each.gone_after.total_seconds())
            until = t("erase.at_latest", time=f"{since + each.gone_after:%Y-%m-%d %H:%M}", ago=ago)
        if each.assumed:
            until = t("erase.assumed", until=until)
        yield Held(each.topic, t(f"holds.{each.name}"), until)
