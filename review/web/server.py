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
from review.cases.entries import Decided
from review.cases.form import parse_form
from review.errors import DecisionRefusedError, DeskError, InvalidFormError
from review.queue.order import MAX_PAGE, Filter
from review.web.door import Door
from review.web.guard import error_response, guard, json_response
from review.web.html import render_queue

STATIC = Path(__file__).parent / "static"
PAGE = 20
DEFAULT_LIMIT = 50
MAX_BODY = 64 << 10
MAX_DIGITS = 9

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
        application.router.add_post("/api/cases/{id}/decision", self._when_ready(self.decide))
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
        body = self._review.metrics.expose(self._review.table, ready=self._review.ready)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def queue(self, request: web.Request) -> web.Response:
        """The page that people work on."""
        ready = self._review.ready
        wanted, offset = _filter(request), _number(request, "offset", 0, None)
        overview = self._review.desk.overview(wanted, offset=offset, limit=PAGE) if ready else None
        body = render_queue(overview, wanted, self._review.held_partitions, self._review.cluster.partitions)
        return web.Response(text=body, content_type="text/html", status=200 if ready else 503)

    async def cases(self, request: web.Request) -> web.Response:
        """A page of the queue."""
        limit = _number(request, "limit", DEFAULT_LIMIT, MAX_PAGE)
        offset = _number(request, "offset", 0, None)
        return json_response(self._review.desk.page(_filter(request), offset=offset, limit=limit))

    async def case(self, request: web.Request) -> web.Response:
        """One case: an open one whole, or the marker of a decided one."""
        entry = self._review.desk.find(request.match_info["id"])
        if isinstance(entry, Decided):
            return json_response({"state": "decided", "decision": _without_partition(entry)})
        return json_response({"state": "open", "case": entry.case})

    async def decide(self, request: web.Request) -> web.Response:
        """Take a decision; answers 201 once it is valid."""
        metrics = self._review.metrics
        form = parse_form(await request.read())
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
