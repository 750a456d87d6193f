"""Serves the desk over HTTP: one page, a small JSON API, probes, metrics (`docs/reference/desk-api.md`).

It runs in Faust's event loop beside the agents, so that it reads the table without locks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import msgspec
from aiohttp import web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST

from review.app import ReviewApp
from review.cases.form import parse_form
from review.cases.views import CaseView
from review.errors import DecisionRefusedError, DeskError, InvalidFormError
from review.people import ROLES, Person
from review.queue.order import MAX_PAGE, Filter
from review.web.door import Door
from review.web.guard import error_response, guard, json_response
from review.web.html import overview, render_queue

STATIC = Path(__file__).parent / "static"
PAGE = 20
DEFAULT_LIMIT = 50
MAX_BODY = 64 << 10
MAX_DIGITS = 9
MAX_NAME = 120
NOBODY = Person("", "", frozenset())

Respond = Callable[[web.Request], Awaitable[web.Response]]


class DeskServer(Service):
    """The web server. It listens before the table is recovered, so that probes get an answer."""

    def __init__(self, review: ReviewApp) -> None:
        super().__init__()
        self.port = review.settings.port
        self._settings = review.settings
        self._door = Door()
        application = Routes(review).application(self._door)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._listening: asyncio.Server | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """Start to listen. Raises DeskError: the address is in use, or not one of this machine."""
        await self._runner.setup()
        self._door.open(cast("web.Server", self._runner.server))
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(self._door, self._settings.host, self._settings.port)
        except OSError as error:
            raise DeskError(
                f"cannot listen on {self._settings.host}:{self._settings.port} ({error.strerror}): "
                "set MIMAMORI_REVIEW_HOST and MIMAMORI_REVIEW_PORT"
            ) from None
        self.port = self._listening.sockets[0].getsockname()[1]
        self._keeping = loop.create_task(self._door.keep())

    async def on_stop(self) -> None:
        """Stop listening; requests that are being answered have a second to finish."""
        if self._listening:
            self._listening.close()
        if self._keeping:
            self._keeping.cancel()
        await self._runner.cleanup()


class Routes:
    """The handlers of all paths."""

    def __init__(self, review: ReviewApp) -> None:
        self._review = review
        self._desk = review.desk

    def application(self, door: Door) -> web.Application:
        """The aiohttp application, behind `door`."""
        application = web.Application(
            middlewares=[door.watch, guard(self._review.settings.allowed_hosts)], client_max_size=MAX_BODY
        )
        application.router.add_get("/livez", self.livez)
        application.router.add_get("/readyz", self.readyz)
        application.router.add_get("/metrics", self.metrics)
        application.router.add_get("/", self.queue)
        application.router.add_get("/api/cases", self._when_ready(self.cases))
        application.router.add_get("/api/cases/{id}", self._when_ready(self.case))
        application.router.add_get("/api/held", self._when_ready(self.held))
        application.router.add_post("/api/cases/{id}/{step}", self._when_ready(self.step))
        application.router.add_static("/static", STATIC)
        return application

    def _when_ready(self, respond: Respond) -> Respond:
        # While the table is recovered, a case that is only not read yet would get a 404.
        async def answer(request: web.Request) -> web.Response:
            if not self._review.ready:
                return error_response(503, "the table is being recovered; try again in a few seconds")
            return await respond(request)

        return answer

    async def livez(self, _request: web.Request) -> web.Response:
        """Liveness: the event loop runs. Kafka is not checked, so that a broker's fault restarts no desk."""
        return web.Response(text="alive\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """Readiness: the table is recovered, and the desk holds partitions."""
        held, of = self._review.held_partitions, self._review.cluster.partitions
        status = 200 if self._review.ready else 503
        return json_response({"ready": self._review.ready, "partitions": held, "of": of}, status)

    async def metrics(self, _request: web.Request) -> web.Response:
        """The metrics in Prometheus' text format."""
        body = self._review.metrics.expose(self._review.present, ready=self._review.ready)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def queue(self, request: web.Request) -> web.Response:
        """The page that people work on."""
        ready = self._review.ready
        wanted, offset = _filter(request), _number(request, "offset", 0, None)
        review = self._review
        shown = (
            overview(self._desk, review.table, review.present, wanted, offset=offset, limit=PAGE)
            if ready
            else None
        )
        body = render_queue(shown, wanted, self._review.held_partitions, self._review.cluster.partitions)
        return web.Response(text=body, content_type="text/html", status=200 if ready else 503)

    async def cases(self, request: web.Request) -> web.Response:
        """A page of the queue."""
        limit = _number(request, "limit", DEFAULT_LIMIT, MAX_PAGE)
        offset = _number(request, "offset", 0, None)
        return json_response(self._desk.queue(_filter(request), NOBODY, offset=offset, limit=limit))

    async def case(self, request: web.Request) -> web.Response:
        """One case, as it is now."""
        return json_response(self._desk.find(request.match_info["id"], NOBODY))

    async def held(self, _request: web.Request) -> web.Response:
        """The events that were not believed."""
        return json_response(self._desk.held())

    async def step(self, request: web.Request) -> web.Response:
        """Take a step on a case; answers once it counts."""
        case_id, action = request.match_info["id"], request.match_info["step"]
        body = await request.read()
        fields = _fields(body)
        person = _person(fields)
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


def _person(fields: dict[str, str | None]) -> Person:
    # Until `review.access` says who somebody is, the desk takes their word for it: it listens on loopback.
    if not (name := (fields.get("reviewer") or "").strip()) or len(name) > MAX_NAME:
        raise InvalidFormError({"reviewer": f"must be a name of at most {MAX_NAME} characters"})
    return Person(name, name, frozenset(ROLES))


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
