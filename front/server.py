"""Answers requests: who sends them, how large they are, in which dialect. It runs in one event loop.

    POST /v1/moderations               OpenAI's shape
    POST /v1alpha1/comments:analyze    Perspective's shape
    GET  /$discovery/rest              where Google's clients find the latter

Nothing of a request is logged, neither its path nor its key.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from front.call import Call
from front.dialect import Dialect
from front.discovery import discovery_document
from front.errors import BusyError, RefusedError, invalid
from front.finding import Finding, Findings
from front.line import Line
from front.metrics import FrontMetrics
from front.settings import FrontSettings
from front.texts import entries_of
from front.tokens import Tokens
from worker.telemetry.logs import where

log = structlog.get_logger()

DISCOVERY: Final = "/$discovery/rest"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Front:
    """Screens the texts of requests: hands them to the line, and waits until they are read."""

    def __init__(
        self,
        settings: FrontSettings,
        line: Line,
        findings: Findings,
        metrics: FrontMetrics,
        max_text_chars: int,
    ) -> None:
        """`max_text_chars` is how much of a text is read, as in the worker's settings."""
        self._settings = settings
        self._line = line
        self._findings = findings
        self._metrics = metrics
        self._max_text_chars = max_text_chars
        self._tokens = Tokens(settings.known_tokens)

    async def answer(self, request: web.Request, dialect: Dialect[Any]) -> web.Response:
        """The response to a request, whatever happens."""
        began = time.monotonic()
        headers = dict(_HEADERS)
        try:
            self._tokens.require(request)
            body = await self._body(request)
            began = time.monotonic()
            asked = dialect.read(body)
            answer, status = (
                dialect.answer(asked, await self._screen(asked.texts, asked.language, asked.param)),
                200,
            )
        except RefusedError as error:
            answer, status = dialect.refusal(error), error.status
            if isinstance(error, BusyError):
                headers["Retry-After"] = str(error.retry_after_s)
        except Exception as error:  # noqa: BLE001 - its message could quote a text
            answer, status = dialect.refusal(_failed(error)), 500
        self._metrics.answered(dialect.api, status, time.monotonic() - began)
        return web.Response(body=answer, status=status, content_type="application/json", headers=headers)

    async def _screen(self, texts: list[str], language: str | None, param: str) -> list[Finding]:
        """What was found in each text, in order. Raises RefusedError, or FatalError: the model has failed."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def finish(error: Exception | None) -> None:
            loop.call_soon_threadsafe(_finish, done, error)

        call = Call(entries_of(texts, language, self._max_text_chars, param), finish)
        self._line.admit(call)
        # The line itself looks when the engine asks for more, which may take long.
        deadline = loop.call_later(self._settings.deadline_s, self._line.give_up, call)
        try:
            await done
        except asyncio.CancelledError:  # the client has gone
            self._line.abandon(call)
            raise
        finally:
            deadline.cancel()
        findings = [self._findings.of(entry) for entry in call.entries]
        for finding in findings:
            self._metrics.found(finding.verdict)
        return findings

    async def _body(self, request: web.Request) -> bytes:
        settings = self._settings
        if request.content_type != "application/json":
            raise RefusedError(415, "invalid", "send JSON, with Content-Type: application/json")
        try:
            async with asyncio.timeout(settings.body_s):
                return await request.read()
        except TimeoutError:
            raise RefusedError(
                408, "too_slow", f"the body did not come within {settings.body_s:g} s"
            ) from None
        except web.RequestPayloadError:
            raise invalid(
                "the body is not as its headers say: its length or its compression is wrong"
            ) from None
        except web.HTTPRequestEntityTooLarge:
            raise RefusedError(
                413,
                "too_large",
                f"the body has more than {settings.max_body_bytes} bytes (MIMAMORI_FRONT_MAX_BODY_BYTES): "
                "send fewer texts at once",
            ) from None


def application(
    front: Front,
    settings: FrontSettings,
    openai: Dialect[Any],
    perspective: Dialect[Any],
    attributes: list[str],
) -> web.Application:
    """The aiohttp application. `attributes` are those that the discovery document names."""

    async def moderations(request: web.Request) -> web.Response:
        return await front.answer(request, openai)

    async def analyze(request: web.Request) -> web.Response:
        return await front.answer(request, perspective)

    async def discovery(request: web.Request) -> web.Response:
        try:
            root = settings.public_url or str(request.url.origin())
        except ValueError:
            raise web.HTTPBadRequest(reason="The header Host is no address") from None
        return _json(discovery_document(root, attributes), 200)

    made = web.Application(middlewares=[_in_json], client_max_size=settings.max_body_bytes)
    made.router.add_post("/v1/moderations", moderations)
    made.router.add_post("/v1alpha1/comments:analyze", analyze)
    made.router.add_get(DISCOVERY, discovery)
    return made


@web.middleware
async def _in_json(request: web.Request, handler: Respond) -> web.StreamResponse:
    """Say in JSON what the router refuses, since clients parse every answer."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        here = "/v1/moderations, /v1alpha1/comments:analyze and /$discovery/rest"
        said = {"message": f"{error.reason}: this front answers {here}", "code": error.status}
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _json({"error": said}, error.status, allowed)


def _failed(error: Exception) -> RefusedError:
    log.error("request_failed", kind=type(error).__name__, at=where(error))
    return RefusedError(500, "failed", "the texts could not be read, and have no scores")


def _json(content: object, status: int, headers: Mapping[str, str] = MappingProxyType({})) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type="application/json",
        headers={**_HEADERS, **headers},
    )


def _finish(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():  # the client has gone
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
