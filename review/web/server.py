"""Serves the desk over HTTP: one page and a small JSON API (`docs/reference/desk-api.md`).

It runs in Faust's event loop beside the agents, so that it reads the table without locks.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path

import msgspec
from aiohttp import web
from mode import Service

from review.access import every_route_is_guarded, person_of, requires
from review.access.access import Access
from review.app import ReviewApp
from review.cases.form import parse_form
from review.cases.views import CaseView
from review.errors import DecisionRefusedError, InvalidFormError
from review.people import Person
from review.queue.order import MAX_PAGE, Filter
from review.web.audited import audited
from review.web.door import Door
from review.web.guard import error_response, guard, json_response
from review.web.health import health_application
from review.web.listener import Listener
from review.web.pages.all_pages import add_pages
from review.web.sign_in import SignInPages

STATIC = Path(__file__).parent / "static"
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
        self._desk = review.desk

    def application(self, door: Door, access: Access) -> web.Application:
        """The aiohttp application, behind `door`. Raises DeskError: a route names no role."""
        review = self._review
        application = web.Application(
            middlewares=[
                door.watch,
                guard(review.settings.hosts, review.metrics, https=access.https),
                audited(review.trail),
                access.gate.watch,
            ],
            client_max_size=MAX_BODY,
        )
        SignInPages(access, review.metrics).add_to(application)
        add_pages(application, review)
        application.router.add_get("/api/cases", self._when_ready(self.cases))
        application.router.add_get("/api/cases/{id}", self._when_ready(self.case))
        application.router.add_get("/api/held", self._when_ready(self.held))
        application.router.add_post("/api/cases/{id}/{step}", self._when_ready(self.step))
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
    async def cases(self, request: web.Request) -> web.Response:
        """A page of the queue."""
        limit = _number(request, "limit", DEFAULT_LIMIT, MAX_PAGE)
        offset = _number(request, "offset", 0, None)
        return json_response(
            self._desk.queue(_filter(request), person_of(request), offset=offset, limit=limit)
        )

    @requires("reviewer", "lead")
    async def case(self, request: web.Request) -> web.Response:
        """One case, as it is now."""
        return json_response(self._desk.find(request.match_info["id"], person_of(request)))

    @requires("lead")
    async def held(self, _request: web.Request) -> web.Response:
        """The events that were not believed."""
        return json_response(self._desk.held())

    @requires("reviewer", "lead")
    async def step(self, request: web.Request) -> web.Response:
        """Take a step on a case; answers once it counts."""
        case_id, action = request.match_info["id"], request.match_info["step"]
        body = await request.read()
        fields = _fields(body)
        person = person_of(request)
        desk, lease, reason = self._desk, fields.get("lease") or "", fields.get("reason")
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "claim": lambda: desk.claim(case_id, person),
            "extend": lambda: desk.extend(case_id, lease, person),
            "release": lambda: desk.release(
                case_id, lease, person, reason=reason, reader=fields.get("reader")
            ),
            "reveal": lambda: desk.reveal(case_id, person),
            "decision": lambda: self._decide(case_id, body, person),
            "undo": lambda: desk.undo(case_id, person),
            "reopen": lambda: desk.reopen(case_id, person, reason or ""),
            "appeal": lambda: desk.appeal(case_id, person, reason or ""),
            "discard": lambda: desk.discard(case_id, person),
        }
        if action not in steps:
            raise web.HTTPNotFound
        with self._review.metrics.confirm_seconds.time():
            taken = await steps[action]()
        return json_response(taken, 201 if action == "decision" else 200)

    async def _decide(self, case_id: str, body: bytes, person: Person) -> CaseView:
        metrics = self._review.metrics
        try:
            form = parse_form(body)
            decided = await self._desk.decide(case_id, form, person)
        except DecisionRefusedError:
            metrics.decisions.labels("refused").inc()
            raise
        metrics.decisions.labels(form.finding).inc()
        return decided


def _fields(body: bytes) -> dict[str, str | None]:
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, str | None])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidFormError({"body": "must be one JSON object of strings"}) from None


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
