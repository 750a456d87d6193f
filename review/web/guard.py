"""Guards every request: checks the host and the origin, sets headers, and turns errors into JSON.

The desk has no login yet and listens on loopback, where any web page in the reviewer's browser could reach
it. Two checks refuse such pages: the Host header must be a known name (against DNS rebinding), and a write
must be JSON from the same origin (against CSRF). Neither stops a program on the same machine.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from review.errors import DecisionRefusedError, InvalidFormError

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Pages hold people's messages, so a shared machine must not keep them in its cache.
    "Cache-Control": "no-store",
}
# Machines ask these by address; they send no cookies, and the answers hold no text.
PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})


def json_response(content: object, status: int = 200) -> web.Response:
    """A JSON response of any value that msgspec can encode."""
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def error_response(status: int, message: str, fields: dict[str, str] | None = None) -> web.Response:
    """An error as JSON: `error`, and `fields` where fields are wrong."""
    return json_response({"error": message} | ({"fields": fields} if fields else {}), status)


def guard(allowed_hosts: frozenset[str]) -> Middleware:
    """The middleware."""

    @web.middleware
    async def middleware(request: web.Request, handler: Respond) -> web.StreamResponse:
        response = refusal(request, allowed_hosts) or await _answer(request, handler)
        response.headers.update(SECURITY_HEADERS)
        return response

    return middleware


def refusal(request: web.Request, allowed_hosts: frozenset[str]) -> web.Response | None:
    """The response to a request that is refused; None for one that is allowed."""
    if request.path not in PROBES and "*" not in allowed_hosts and _name(request.host) not in allowed_hosts:
        return error_response(421, "this desk does not go by that name: see MIMAMORI_REVIEW_ALLOWED_HOSTS")
    if request.method in {"GET", "HEAD"}:
        return None
    if request.content_type != "application/json":
        return error_response(415, "send application/json")
    # Browsers always send one of the two headers; other programs need not.
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return error_response(403, "cross-origin requests are refused")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        return error_response(403, "cross-origin requests are refused")
    return None


async def _answer(request: web.Request, respond: Respond) -> web.StreamResponse:
    try:
        return await respond(request)
    except InvalidFormError as error:
        return error_response(error.status, str(error), error.fields)
    except DecisionRefusedError as error:
        return error_response(error.status, str(error))
    except web.HTTPException as error:
        return error_response(error.status, error.reason)


def _name(host: str) -> str:
    # `[::1]:6066`, `desk.example:6066` and `desk.example` -> the name alone
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
