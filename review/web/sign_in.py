"""The pages of signing in and out."""

import structlog
from aiohttp import web

from review.access import csrf_of, open_to_all, person_of, requires
from review.access.access import Access
from review.access.cookies import SignIn, local_path
from review.access.errors import ForgedRequestError
from review.access.local import somebody
from review.metrics import DeskMetrics
from review.web.guard import json_response
from review.web.html import render

log = structlog.get_logger()


class SignInPages:
    """Local sign-in by name, and what every way has in common."""

    def __init__(self, access: Access, metrics: DeskMetrics) -> None:
        self._access = access
        self._metrics = metrics

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/sign-in", self.begin)
        application.router.add_post("/sign-in", self.by_name)
        application.router.add_post("/sign-out", self.sign_out)
        application.router.add_get("/api/v1/session", self.session)

    @open_to_all
    async def begin(self, request: web.Request) -> web.Response:
        """Ask for a name."""
        sign_in = SignIn(back_to=local_path(request.query.get("next")))
        return self._ask(sign_in, fault=None)

    @open_to_all
    async def by_name(self, request: web.Request) -> web.StreamResponse:
        """Open a session for the name that was typed."""
        self._access.gate.trying_to_sign_in(request)
        form = await request.post()
        sign_in = self._access.cookies.begun(request, str(form.get("csrf", "")))
        if sign_in is None:
            raise ForgedRequestError("this page is out of date: load it again, and type your name once more")
        person = somebody(str(form.get("name", "")))
        if isinstance(person, str):
            return self._ask(sign_in, fault=person)
        response = web.Response(status=303, headers={"Location": sign_in.back_to})
        self._access.cookies.done(response, sign_in)
        # A session of before ends: a new one is opened at each sign-in, and never taken over.
        if former := self._access.cookies.session(request):
            self._access.sessions.close(former)
        self._access.cookies.set_session(response, self._access.sessions.open(person))
        self._metrics.sign_ins.labels("signed_in").inc()
        log.info("signed_in", person=person.id, roles=sorted(person.roles))
        return response

    @requires()
    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """End the session at once."""
        if token := self._access.cookies.session(request):
            self._access.sessions.close(token)
        log.info("signed_out", person=person_of(request).id)
        response = web.Response(status=303, headers={"Location": "/sign-in"})
        self._access.cookies.end_session(response)
        return response

    @requires()
    async def session(self, request: web.Request) -> web.Response:
        """Who is signed in, for scripts: changes bring `csrf` back in the header X-CSRF-Token."""
        person = person_of(request)
        return json_response(
            {"id": person.id, "name": person.name, "roles": sorted(person.roles), "csrf": csrf_of(request)}
        )

    def _ask(self, sign_in: SignIn, fault: str | None) -> web.Response:
        body = render("sign-in.html", csrf=sign_in.state, fault=fault)
        response = web.Response(text=body, content_type="text/html", status=422 if fault else 200)
        self._access.cookies.begin(response, sign_in)
        return response
