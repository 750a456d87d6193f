"""Serves the desk over HTTP: one page and a small JSON API (`docs/reference/desk-api.md`).

It runs in Faust's event loop beside the agents, so that it reads the table without locks.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path

import msgspec
from aiohttp import web
from mode import Service

from review.access import csrf_of, every_route_is_guarded, person_of, requires
from review.access.access import Access
from review.app import ReviewApp
from review.cases.entries import Decided
from review.cases.form import parse_form
from review.errors import DecisionRefusedError, InvalidFormError
from review.queue.order import MAX_PAGE, Filter
from review.web.door import Door
from review.web.guard import error_response, guard, json_response
from review.web.health import health_application
from review.web.html import render_queue
from review.web.listener import Listener
from review.web.sign_in import SignInPages

STATIC = Path(__file__).parent / "static"
PAGE = 20
DEFAULT_LIMIT = 50
MAX_BODY = 64 << 10
MAX_DIGITS = 9

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DeskServer(Service):
    """The web server. It listens before the table is recovered, so that probes get an answer."""

    def __init__(self, review: ReviewApp) -> None:
        super().__init__()
        settings = review.settings
        self._access = Access(settings, None if settings.store == "memory" else settings.folder)
        pages, probes = Door(), Door()
        self.pages = Listener(
            Routes(review).application(pages, self._access),
            pages,
            settings.host,
            settings.port,
            "MIMAMORI_REVIEW_HOST and MIMAMORI_REVIEW_PORT",
        )
        self.health = Listener(
            health_application(review, probes),
            probes,
            settings.health_host,
            settings.health_port,
            "MIMAMORI_REVIEW_HEALTH_HOST and MIMAMORI_REVIEW_HEALTH_PORT",
        )

    async def on_start(self) -> None:
        """Start to listen. Raises DeskError: an address is in use, or not one of this machine."""
        await self.health.open()
        await self.pages.open()

    async def on_stop(self) -> None:
        """Stop listening."""
        await self.pages.close()
        await self.health.close()
        await self._access.close()


class Routes:
    """The handlers of all paths."""

    def __init__(self, review: ReviewApp) -> None:
        self._review = review

    def application(self, door: Door, access: Access) -> web.Application:
        """The aiohttp application, behind `door`. Raises DeskError: a route names no role."""
        review = self._review
        application = web.Application(
            middlewares=[
                door.watch,
                guard(review.settings.hosts, review.metrics, https=access.https),
                access.gate.watch,
            ],
            client_max_size=MAX_BODY,
        )
        SignInPages(access, review.metrics).add_to(application)
        application.router.add_get("/", self.queue)
        application.router.add_get("/api/cases", self._when_ready(self.cases))
        application.router.add_get("/api/cases/{id}", self._when_ready(self.case))
        application.router.add_post("/api/cases/{id}/decision", self._when_ready(self.decide))
        application.router.add_static("/static", STATIC)
        every_route_is_guarded(application)
        return application

    def _when_ready(self, respond: Respond) -> Respond:
        # While the table is recovered, a case that is only not read yet would get a 404.
        @wraps(respond)  # the roles that it requires as well
        async def answer(request: web.Request) -> web.StreamResponse:
            if not self._review.ready:
                return error_response(503, "the table is being recovered; try again in a few seconds")
            return await respond(request)

        return answer

    @requires("reviewer", "lead")
    async def queue(self, request: web.Request) -> web.Response:
        """The page that people work on."""
        ready = self._review.ready
        wanted, offset = _filter(request), _number(request, "offset", 0, None)
        overview = self._review.desk.overview(wanted, offset=offset, limit=PAGE) if ready else None
        body = render_queue(
            overview,
            wanted,
            self._review.held_partitions,
            self._review.cluster.partitions,
            person=person_of(request),
            csrf=csrf_of(request),
        )
        return web.Response(text=body, content_type="text/html", status=200 if ready else 503)

    @requires("reviewer", "lead")
    async def cases(self, request: web.Request) -> web.Response:
        """A page of the queue."""
        limit = _number(request, "limit", DEFAULT_LIMIT, MAX_PAGE)
        offset = _number(request, "offset", 0, None)
        return json_response(self._review.desk.page(_filter(request), offset=offset, limit=limit))

    @requires("reviewer", "lead")
    async def case(self, request: web.Request) -> web.Response:
        """One case: an open one whole, or the marker of a decided one."""
        entry = self._review.desk.find(request.match_info["id"])
        if isinstance(entry, Decided):
            return json_response({"state": "decided", "decision": _without_partition(entry)})
        return json_response({"state": "open", "case": entry.case})

    @requires("reviewer", "lead")
    async def decide(self, request: web.Request) -> web.Response:
        """Take a decision; answers 201 once it is valid."""
        metrics = self._review.metrics
        form = parse_form(await request.read(), reviewer=person_of(request).id)
        try:
            with metrics.confirm_seconds.time():
                decision = await self._review.desk.decide(request.match_info["id"], form)
        except DecisionRefusedError:
            metrics.decisions.labels("refused").inc()
            raise
        metrics.decisions.labels(decision.finding).inc()
        return json_response(decision, 201)


def _without_partition(marker: Decided) -> dict[str, object]:
    content = msgspec.structs.asdict(marker)
    del content["partition"]
    return content


def _filter(request: web.Request) -> Filter:
    return Filter(task=request.query.get("task") or None, kind=request.query.get("kind") or None)


def _number(request: web.Request, name: str, default: int, highest: int | None) -> int:
    text = request.query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS) or (
        highest is not None and int(text) > highest
    ):
        raise InvalidFormError(
            {name: "must be a whole number" + (f" up to {highest}" if highest else " of 0 or more")}
        )
    return int(text)
