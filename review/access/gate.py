"""Before every handler: who asks, how often, with which roles, and whether a change came from our page."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from aiohttp import web

from review.access.errors import ForgedRequestError, NoRoleError, NotAllowedError, NotSignedInError
from review.access.rates import Rate
from review.access.services import Services
from review.access.sessions import Sessions
from review.errors import DeskError
from review.people import ROLES, Person, Role
from review.settings_access import AccessSettings

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[web.StreamResponse]])

# A form brings the token back in this field, and a script in this header.
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
SAFE: Final = frozenset({"GET", "HEAD"})
# Many people can share an address.
_SHARING: Final = 4
_ROLES: Final = "_mimamori_roles"
_EVERYBODY: Final[frozenset[Role]] = frozenset()
_PERSON: Final = web.RequestKey("person", Person)
_CSRF: Final = web.RequestKey("csrf", str)


class Known(Protocol):
    """Finds out who sends a request."""

    async def person(self, request: web.Request) -> tuple[Person, str] | None:
        """Who it is, and what their forms are bound to (a session's token, or the person); None: nobody."""


def requires(*roles: Role) -> Callable[[Handler], Handler]:
    """Mark a handler, whose last argument is the request: only these roles may call it, or each if none."""

    def mark(handler: Handler) -> Handler:
        setattr(handler, _ROLES, frozenset(roles or ROLES))
        return handler

    return mark


def open_to_all(handler: Handler) -> Handler:
    """Mark a handler that everybody may call, signed in or not."""
    setattr(handler, _ROLES, _EVERYBODY)
    return handler


def person_of(request: web.Request) -> Person:
    """Who asks. Raises NotSignedInError: nobody is known, in a handler that is open to all."""
    person: Person | None = request.get(_PERSON)
    if person is None:
        raise NotSignedInError
    return person


def csrf_of(request: web.Request) -> str:
    """The token for this person's forms: the field `csrf`, or the header `X-CSRF-Token`. Empty for nobody."""
    token: str = request.get(_CSRF, "")
    return token


def every_route_is_guarded(application: web.Application) -> None:
    """Raise DeskError where a route says neither who may call it nor that everybody may."""
    for route in application.router.routes():
        resource = route.resource
        if isinstance(resource, web.StaticResource) or hasattr(route.handler, _ROLES):
            continue
        place = resource.canonical if resource else route.handler
        raise DeskError(f"{route.method} {place} names no role: mark its handler with review.access.requires")


class Gate:
    """The middleware. `now` is a clock in seconds that never goes back."""

    def __init__(
        self,
        known: Known,
        sessions: Sessions,
        settings: AccessSettings,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._known = known
        self._sessions = sessions
        self._services = Services(settings.api_tokens)
        self._hops = settings.forwarded_hops
        self._by_person = Rate(settings.requests_per_minute, now)
        self._by_address = Rate(settings.requests_per_minute * _SHARING, now)
        self._sign_ins = Rate(settings.sign_ins_per_minute, now)

    @web.middleware
    async def watch(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Let a request through, or raise one of `review.access.errors`."""
        if isinstance(request.match_info.route.resource, web.StaticResource):
            return await handler(request)
        self._by_address.take(self.address(request))
        # A path that leads nowhere tells its 404 to those who are signed in.
        allowed: frozenset[Role] = getattr(request.match_info.handler, _ROLES, frozenset(ROLES))
        program = self._services.program(request)
        known = await self._known.person(request) if program is None else (program, "")
        if known is not None:
            person, bound_to = known
            request[_PERSON], request[_CSRF] = person, self._sessions.csrf(bound_to)
            self._by_person.take(person.id)
        if allowed == _EVERYBODY:
            return await handler(request)
        if known is None:
            raise NotSignedInError
        if not known[0].roles:
            raise NoRoleError
        if not known[0].may(*allowed):
            raise NotAllowedError(_not_allowed(known[0], allowed))
        if program is not None:  # no page of another origin can make a browser send such a token
            return await handler(request)
        if request.method not in SAFE and not self._sessions.csrf_fits(known[1], await _given(request)):
            raise ForgedRequestError("this page is out of date: load it again, and repeat what you did")
        return await handler(request)

    def trying_to_sign_in(self, request: web.Request) -> None:
        """Count a try to sign in. Raises TooManyRequestsError."""
        self._sign_ins.take(self.address(request))

    def proved(self, request: web.Request) -> None:
        """Such a try was from the provider itself: it does not count."""
        self._sign_ins.give_back(self.address(request))

    def address(self, request: web.Request) -> str:
        """The address that a request comes from, as far as the proxies before the desk can be trusted."""
        if self._hops:
            forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
            named = [each.strip() for each in forwarded if each.strip()]
            if len(named) >= self._hops:
                return named[-self._hops]
        return request.remote or ""


async def _given(request: web.Request) -> str:
    """The token that a change brings; empty where it brings none."""
    if (header := request.headers.get(CSRF_HEADER)) is not None:
        return header
    if request.content_type != "application/x-www-form-urlencoded":
        return ""
    field: Any = (await request.post()).get(CSRF_FIELD, "")
    return field if isinstance(field, str) else ""


def _not_allowed(person: Person, allowed: frozenset[Role]) -> str:
    return f"this is for the roles {', '.join(sorted(allowed))}; you have {', '.join(sorted(person.roles))}"
