"""Guards every request: checks the host and the origin, sets headers, and turns errors into answers.

Any web page in a reviewer's browser can send requests to the desk. Two checks refuse them before anything is
looked up: the Host header must be a known name (against DNS rebinding), and a change must come from the same
origin. `review.access` adds the sign-in and the forms' tokens.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from traceback import extract_tb
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from review.access.errors import (
    AccessRefusedError,
    NotSignedInError,
    ProviderDownError,
    SignInRefusedError,
    TooManyRequestsError,
)
from review.errors import DecisionRefusedError, InvalidFormError
from review.metrics import DeskMetrics
from review.web.html import page

log = structlog.get_logger()

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
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Pages hold people's messages, so a shared machine must not keep them in its cache.
    "Cache-Control": "no-store",
}
# Browsers that have come by https once never come by http again.
HSTS: Final = {"Strict-Transport-Security": "max-age=31536000"}
FORMS: Final = frozenset({"application/json", "application/x-www-form-urlencoded"})
UTF_8: Final = frozenset({"utf-8", "utf8"})


def json_response(content: object, status: int = 200) -> web.Response:
    """A JSON response of any value that msgspec can encode."""
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def error_response(status: int, message: str, fields: dict[str, str] | None = None) -> web.Response:
    """An error as JSON: `error`, and `fields` where fields are wrong."""
    return json_response({"error": message} | ({"fields": fields} if fields else {}), status)


def guard(allowed_hosts: frozenset[str], metrics: DeskMetrics, *, https: bool) -> Middleware:
    """The middleware. `https`: browsers come by https, whatever stands between them and the desk."""
    headers = SECURITY_HEADERS | (HSTS if https else {})

    @web.middleware
    async def middleware(request: web.Request, handler: Respond) -> web.StreamResponse:
        try:
            response = refusal(request, allowed_hosts) or await _answer(request, handler, metrics)
        except Exception as error:  # noqa: BLE001 - aiohttp's own answer would lack the headers
            response = _fault(request, error)
        response.headers.update(headers)
        return response

    return middleware


def refusal(request: web.Request, allowed_hosts: frozenset[str]) -> web.Response | None:
    """The response to a request that is refused; None for one that is allowed."""
    if "*" not in allowed_hosts and _name(request.host) not in allowed_hosts:
        return error_response(421, "this desk does not go by that name: see MIMAMORI_REVIEW_ALLOWED_HOSTS")
    if request.method in {"GET", "HEAD"}:
        return None
    if request.content_type not in FORMS or (request.charset or "utf-8").lower() not in UTF_8:
        return error_response(415, "send application/json, or a form, in UTF-8")
    return None if _of_this_origin(request) else error_response(403, "cross-origin requests are refused")


def _of_this_origin(request: web.Request) -> bool:
    """Whether a page of this desk has sent it, or no browser. Browsers always send one of the two headers."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site not in {"same-origin", "none"}:
        return False
    # Because of our own Referrer-Policy, forms of our own pages have the origin `null`.
    if origin is None or (origin == "null" and site == "same-origin"):
        return True
    return urlsplit(origin).netloc.lower() == request.host.lower()


async def _answer(request: web.Request, respond: Respond, metrics: DeskMetrics) -> web.StreamResponse:
    try:
        return await respond(request)
    except AccessRefusedError as error:
        metrics.refused.labels(str(error.status)).inc()
        if isinstance(error, SignInRefusedError | ProviderDownError):
            outcome = "provider_down" if isinstance(error, ProviderDownError) else "refused"
            metrics.sign_ins.labels(outcome).inc()
            log.warning("sign_in_refused", outcome=outcome, reason=error.reason)
        return _refused(request, error)
    except InvalidFormError as error:
        return error_response(error.status, str(error), error.fields)
    except DecisionRefusedError as error:
        return error_response(error.status, str(error))
    except web.HTTPException as error:
        return _not_here(request, error)
    except (UnicodeDecodeError, web.RequestPayloadError):
        return error_response(400, "the body is not what its headers say: send it plain, in UTF-8")


def _fault(request: web.Request, error: Exception) -> web.Response:
    """The answer to a fault of ours. The log says where; what the error itself says may quote a text."""
    at = extract_tb(error.__traceback__)[-1]
    log.error("request_failed", error=type(error).__name__, at=f"{at.filename}:{at.lineno}")
    if _for_a_person(request):
        return page(request, "refused.html", status=500, key="error.fault", places={})
    return error_response(500, "a fault of the desk: whoever runs it finds in its log where")


def _not_here(request: web.Request, error: web.HTTPException) -> web.Response:
    if not _for_a_person(request):
        return error_response(error.status, error.reason)
    key = "error.no_page" if error.status == HTTPStatus.NOT_FOUND else "error.other"
    return page(request, "refused.html", status=error.status, key=key, places={})


def _refused(request: web.Request, error: AccessRefusedError) -> web.Response:
    if isinstance(error, NotSignedInError) and (way := _way_to_sign_in(request)):
        return way
    if _for_a_person(request):
        response = page(
            request,
            "refused.html",
            status=error.status,
            key=f"access.{type(error).__name__}",
            places=vars(error),
        )
    else:
        response = error_response(error.status, str(error))
    if isinstance(error, TooManyRequestsError | ProviderDownError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _way_to_sign_in(request: web.Request) -> web.Response | None:
    """The way to the sign-in page, for a browser that asks for a page or a part of one."""
    if request.headers.get("HX-Request"):
        # htmx follows no redirect to another page; this header makes it load one, then this one again.
        place = urlsplit(request.headers.get("HX-Current-URL", "")).path or "/"
        return web.Response(status=401, headers={"HX-Redirect": "/sign-in?" + urlencode({"next": place})})
    if request.method == "GET" and _for_a_person(request):
        return web.Response(
            status=303, headers={"Location": "/sign-in?" + urlencode({"next": request.path_qs})}
        )
    return None


def _for_a_person(request: web.Request) -> bool:
    """Whether somebody will look at the answer. htmx asks for anything, and shows what it gets as a page."""
    wants = "text/html" in request.headers.get("Accept", "") or "HX-Request" in request.headers
    return wants and not request.path.startswith("/api/")


def _name(host: str) -> str:
    # `[::1]:6066`, `desk.example:6066` and `desk.example` -> the name alone
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
