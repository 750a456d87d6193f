"""Limits the connections of a port, in number and in time: the desk's, and the HTTP front's.

Anyone who reaches the port can open connections and send nothing. So there are at most CONNECTIONS of them. A
connection is closed where no complete request came for IDLE_S since it opened or since its last answer, and
where an answer takes ANSWERING_S. Where there are too many, the one that has been idle longest is closed, or
else one whose request is still coming. A browser opens a new one when it needs it. Who has asked and waits is
never cut off for somebody new: where all wait, the new one is told to come again.

What is no HTTP is answered without a word of it, since it may hold what somebody wrote.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Final, cast

from aiohttp import web

CONNECTIONS: Final = 200
IDLE_S: Final = 15.0
ANSWERING_S: Final = 60.0
LOOK_EVERY_S: Final = 1.0
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)
_NO_HTTP: Final = (
    "the request is not valid HTTP: the length of its body or of a chunk may be wrong (they count bytes)"
)

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """A protocol factory for the event loop, which wraps aiohttp's own."""

    def __init__(self, connections: int | None = None, answering_s: float | None = None) -> None:
        """There may be `connections` at once, and an answer may take `answering_s`; see above for None."""
        self._connections = connections
        self._answering_s = answering_s
        self._server: web.Server | None = None
        self._idle: dict[web.RequestHandler, float] = {}  # connection -> idle since; longest idle first
        self._busy: dict[web.RequestHandler, float] = {}
        self._asked: dict[web.RequestHandler, web.Request] = {}  # what is being answered

    def open(self, server: web.Server) -> None:
        """Pass connections on to `server`, which is the one of `AppRunner` after its `setup`."""
        self._server = server

    def __call__(self) -> asyncio.Protocol:
        """Take a new connection, or refuse it."""
        assert self._server is not None  # noqa: S101 - it is opened before the desk listens
        if len(self._idle) + len(self._busy) >= (self._connections or CONNECTIONS):
            self._forget_closed()
        if len(self._idle) + len(self._busy) >= (self._connections or CONNECTIONS):
            given_up = next(iter(self._idle), None) or next(self._still_asking(), None)
            if given_up is None:
                return _Refused()
            self._end(given_up)
        options = self._server._kwargs  # noqa: SLF001 - aiohttp offers no other way to a class of one's own
        connection = _Connection(self._server, loop=asyncio.get_running_loop(), **options)
        self._idle[connection] = _now()
        return connection

    @web.middleware
    async def watch(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Note when a request is being answered, and when its connection is idle again."""
        connection = request.protocol
        self._idle.pop(connection, None)
        self._busy[connection] = _now()
        self._asked[connection] = request
        try:
            return await handler(request)
        finally:
            self._busy.pop(connection, None)
            self._asked.pop(connection, None)
            self._idle[connection] = _now()

    async def keep(self) -> None:
        """Close connections whose time is over, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._forget_closed()
            for since, limit in ((self._idle, IDLE_S), (self._busy, self._answering_s or ANSWERING_S)):
                while since and next(iter(since.values())) < _now() - limit:
                    self._end(next(iter(since)))

    def _still_asking(self) -> Iterator[web.RequestHandler]:
        """Connections whose request has not come whole; the one that takes longest first."""
        return (each for each in self._busy if each in self._asked and not self._asked[each].content.is_eof())

    def _end(self, connection: web.RequestHandler) -> None:
        self._idle.pop(connection, None)
        self._busy.pop(connection, None)
        self._asked.pop(connection, None)
        if connection.transport is None:  # still being accepted
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, _abort, connection)
        _abort(connection)

    def _forget_closed(self) -> None:
        # A connection that is still being accepted has no transport yet; the next round looks at it again.
        fresh = _now() - LOOK_EVERY_S
        for since in (self._idle, self._busy):
            for connection in [each for each, at in since.items() if each.transport is None and at < fresh]:
                del since[connection]
                self._asked.pop(connection, None)


class _Connection(web.RequestHandler):
    """Answers what is no HTTP. aiohttp itself would log it, and send it back."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See aiohttp. A fault of ours goes on to it."""
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        # By aiohttp's logger, so that what many such requests say is passed on now and then (`review.logs`).
        self.logger.warning("a request was no HTTP: %s", type(exc).__name__)
        answer = web.json_response({"error": {"message": _NO_HTTP, "code": status}}, status=status)
        answer.force_close()
        return answer


class _Refused(asyncio.Protocol):
    """A connection for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so, and hang up."""
        there = cast("asyncio.Transport", transport)
        there.write(_FULL)
        there.close()


def _abort(connection: web.RequestHandler) -> None:
    if connection.transport is not None:
        connection.transport.abort()


def _now() -> float:
    return asyncio.get_running_loop().time()
