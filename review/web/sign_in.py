"""The pages of signing in and out: by name, by an identity provider, or by the proxy before the desk."""

import structlog
from aiohttp import web

from review.access import csrf_of, open_to_all, person_of, requires
from review.access.access import Access
from review.access.cookies import SignIn, local_path
from review.access.errors import (
    ForgedRequestError,
    NoProxyError,
    NoSignOutError,
    ProviderDownError,
    SignInLostError,
    SignInRefusedError,
)
from review.access.local import somebody
from review.access.oidc import BACK_CHANNEL, CALLBACK, SIGNED_OUT, Provider
from review.access.sessions import SignedIn
from review.metrics import DeskMetrics
from review.web.audited import SIGNED_IN
from review.web.guard import json_response
from review.web.html import page

log = structlog.get_logger()


class SignInPages:
    """What every way of signing in has in common; `add_to` adds what the desk's own way needs."""

    def __init__(self, access: Access, metrics: DeskMetrics) -> None:
        self._access = access
        self._metrics = metrics

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        router = application.router
        if self._access.provider is not None:
            ByProvider(self._access, self._access.provider, self._metrics).add_to(application)
        elif self._access.mode == "local":
            ByName(self._access, self._metrics).add_to(application)
        else:
            router.add_get("/sign-in", self.by_proxy)
            router.add_post("/sign-out", self.at_the_proxy)
        router.add_get("/api/v1/session", self.session)

    @open_to_all
    async def by_proxy(self, request: web.Request) -> web.StreamResponse:
        """Go back, where the proxy says who it is. Raises NoProxyError: it does not."""
        if not csrf_of(request):
            raise NoProxyError
        return web.Response(status=303, headers={"Location": local_path(request.query.get("next"))})

    @requires()
    async def at_the_proxy(self, request: web.Request) -> web.StreamResponse:
        """The way to the proxy's own page, since the proxy holds the session."""
        further = self._access.proxy_sign_out_url
        if further is None:
            raise NoSignOutError
        return page(request, "leaving.html", page=further)

    @requires()
    async def session(self, request: web.Request) -> web.Response:
        """Who is signed in, for scripts: changes bring `csrf` back in the header X-CSRF-Token."""
        person = person_of(request)
        return json_response(
            {"id": person.id, "name": person.name, "roles": sorted(person.roles), "csrf": csrf_of(request)}
        )


class ByName:
    """Access is local: a name is enough."""

    def __init__(self, access: Access, metrics: DeskMetrics) -> None:
        self._access = access
        self._metrics = metrics

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/sign-in", self.begin)
        application.router.add_post("/sign-in", self.complete)
        application.router.add_post("/sign-out", self.sign_out)

    @open_to_all
    async def begin(self, request: web.Request) -> web.Response:
        """Ask for a name."""
        return self._ask(request, SignIn(back_to=local_path(request.query.get("next"))), fault=None)

    @open_to_all
    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Open a session for the name that was typed."""
        self._access.gate.trying_to_sign_in(request)
        form = await request.post()
        sign_in = self._access.cookies.begun(request, str(form.get("csrf", "")))
        if sign_in is None:
            raise ForgedRequestError("this page is out of date: load it again, and type your name once more")
        person = somebody(str(form.get("name", "")))
        if isinstance(person, str):
            return self._ask(request, sign_in, fault=person)
        return signed_in(request, self._access, self._metrics, sign_in, SignedIn(person))

    @requires()
    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """End the session at once."""
        response = web.Response(status=303, headers={"Location": "/sign-in"})
        signed_out(request, self._access, response)
        return response

    def _ask(self, request: web.Request, sign_in: SignIn, fault: str | None) -> web.Response:
        status = 422 if fault else 200
        response = page(request, "sign-in.html", status=status, csrf=sign_in.state, fault=fault)
        self._access.cookies.begin(response, sign_in)
        return response


class ByProvider:
    """Access is oidc: an identity provider says who it is."""

    def __init__(self, access: Access, provider: Provider, metrics: DeskMetrics) -> None:
        self._access = access
        self._provider = provider
        self._metrics = metrics

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/sign-in", self.begin)
        application.router.add_get(CALLBACK, self.complete)
        application.router.add_post("/sign-out", self.sign_out)
        application.router.add_get(SIGNED_OUT, self.after)
        application.router.add_post(BACK_CHANNEL, self.ended)

    @open_to_all
    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Send the browser to the provider."""
        self._access.gate.trying_to_sign_in(request)
        sign_in = SignIn(back_to=local_path(request.query.get("next")))
        response = web.Response(status=303, headers={"Location": await self._provider.begin(sign_in)})
        self._access.cookies.begin(response, sign_in)
        return response

    @open_to_all
    async def complete(self, request: web.Request) -> web.StreamResponse:
        """The browser is back: open a session for who has signed in."""
        self._access.gate.trying_to_sign_in(request)
        sign_in = self._access.cookies.begun(request, request.query.get("state", ""))
        if sign_in is None:
            raise SignInLostError
        signed = await self._provider.complete(sign_in, request.query)
        return signed_in(request, self._access, self._metrics, sign_in, signed)

    @requires()
    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """End the session at once, and go to the provider's page, so that it ends there as well."""
        token = self._access.cookies.session(request)
        session = self._access.sessions.find(token) if token else None
        further = await self._provider.sign_out_page(session.id_token if session else None)
        # A page, and not a redirect: the content security policy lets forms lead to this desk alone.
        response = page(request, "leaving.html", page=further or SIGNED_OUT)
        signed_out(request, self._access, response)
        return response

    @open_to_all
    async def ended(self, request: web.Request) -> web.StreamResponse:
        """The provider says that a session has ended there: end it here. It is a server that asks."""
        self._access.gate.trying_to_sign_in(request)
        token = (await request.post()).get("logout_token", "")
        try:
            ended = await self._provider.ended(token if isinstance(token, str) else "")
        except (SignInRefusedError, ProviderDownError) as error:
            down = isinstance(error, ProviderDownError)
            log.warning("logout_refused", reason=error.reason)
            said = {"error": "temporarily_unavailable" if down else "invalid_request"}
            return json_response(said | {"error_description": error.reason}, 503 if down else 400)
        self._access.gate.proved(request)
        log.info("signed_out_by_provider", sessions=self._access.sessions.close_ended(ended))
        return web.Response()

    @open_to_all
    async def after(self, request: web.Request) -> web.StreamResponse:
        """Say that it is done, and go nowhere: the provider might sign in the same person at once."""
        return page(request, "signed-out.html")


def signed_in(
    request: web.Request,
    access: Access,
    metrics: DeskMetrics,
    sign_in: SignIn,
    signed: SignedIn,
) -> web.Response:
    """The answer that opens a session: always a new one, whatever the browser had before."""
    response = web.Response(status=303, headers={"Location": sign_in.back_to})
    access.cookies.done(response, sign_in)
    if former := access.cookies.session(request):
        access.sessions.close(former)
    access.cookies.set_session(response, access.sessions.open(signed))
    metrics.sign_ins.labels("signed_in").inc()
    person = request[SIGNED_IN] = signed.person
    log.info("signed_in", person=person.id, roles=sorted(person.roles))
    return response


def signed_out(request: web.Request, access: Access, response: web.StreamResponse) -> None:
    """End the session, and take its token from the browser."""
    if token := access.cookies.session(request):
        access.sessions.close(token)
    access.cookies.end_session(response)
    log.info("signed_out", person=person_of(request).id)
