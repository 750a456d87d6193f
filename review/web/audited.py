"""Writes down who signs in, who looks at which list or case, and what is refused, before it is answered.

Steps and reveals are written down where they are taken (`review.app`); the audit log's page does it itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from review.access import person_of
from review.access.errors import NotAllowedError as NotForThisRoleError
from review.access.errors import NotSignedInError
from review.audit.trail import Trail
from review.errors import NotAllowedError
from review.people import Person

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Set by whoever opens a session while it answers a request.
SIGNED_IN: Final = web.RequestKey("signed_in", Person)
# What is looked at on which route; `{id}` is the case. Looking on is written down once in five minutes.
LISTS: Final[Mapping[str, str]] = {
    "/": "queue",
    "/api/v1/cases": "queue",
    "/held": "held events",
    "/api/v1/held": "held events",
    "/case/{id}": "case",
    "/api/v1/cases/{id}": "case",
}


def audited(trail: Trail) -> Middleware:
    """The middleware. It stands before the gate, so that it sees what the gate refuses."""

    @web.middleware
    async def middleware(request: web.Request, handler: Respond) -> web.StreamResponse:
        try:
            response = await handler(request)
        except (NotAllowedError, NotForThisRoleError):
            if (person := _person(request)) is not None:
                await trail.record(person, "refused", detail=f"{request.method} {_place(request)}")
            raise
        if (signed_in := request.get(SIGNED_IN)) is not None:
            await trail.record(signed_in, "signed_in")
        what, seen_by = LISTS.get(_route(request)), _person(request)
        if seen_by is not None and response.status == HTTPStatus.FORBIDDEN:  # a page that says so
            await trail.record(seen_by, "refused", detail=f"{request.method} {_place(request)}")
        elif (
            what is not None
            and seen_by is not None
            and request.method == "GET"
            and response.status < HTTPStatus.BAD_REQUEST
        ):
            await trail.listed(seen_by, " ".join([what, *_asked(request)]))
        return response

    return middleware


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


def _place(request: web.Request) -> str:
    return f"{_route(request)} {request.match_info.get('id', '')}".strip()


def _asked(request: web.Request) -> list[str]:
    """The case, or the filters, in the words that the page knows; nothing else of the address."""
    if "id" in request.match_info:
        return [request.match_info["id"][:320]]
    given = {name: request.query.get(name) for name in ("task", "kind", "level", "script", "reason")}
    return [f"{name}={value[:64]}" for name, value in given.items() if value]


def _person(request: web.Request) -> Person | None:
    try:
        return person_of(request)
    except NotSignedInError:
        return None
