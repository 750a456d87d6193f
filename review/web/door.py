"""Limits the connections of a port, in number and in time: the desk's, and the HTTP front's.

Anyone who reaches the port can open connections and send nothing. So there are at most CONNECTIONS of them. A
connection is closed where no complete request came for IDLE_S since it opened or since its last answer, and
where an answer takes ANSWERING_S. Where there are too many, the one that has been idle longest is closed. A
browser opens a new one when it needs it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

CONNECTIONS: Final = 200
IDLE_S: Final = 15.0
ANSWERING_S: Final = 60.0
LOOK_EVERY_S: Final = 1.0

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

    def open(self, server: web.Server) -> None:
        """Pass connections on to `server`, which is the one of `AppRunner` after its `setup`."""
        self._server = server

    def __call__(self) -> web.RequestHandler:
        """Take a new connection."""
        assert self._server is not None  # noqa: S101 - it is opened before the desk listens
        if len(self._idle) + len(self._busy) >= (self._connections or CONNECTIONS):
            self._forget_closed()
        if len(self._idle) + len(self._busy) >= (self._connections or CONNECTIONS):
            self._end(next(iter(self._idle or self._busy)))
        connection = self._server()
        self._idle[connection] = _now()
        return connection

    @web.middleware
    async def watch(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Note when a request is being answered, and when its connection is idle again."""
        connection = request.protocol
        self._idle.pop(connection, None)
        self._busy[connection] = _now()
        try:
            return await handler(request)
        finally:
            self._busy.pop(connection, None)
            self._idle[connection] = _now()

    async def keep(self) -> None:
        """Close connections whose time is over, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._forget_closed()
            for since, limit in ((self._idle, IDLE_S), (self._busy, self._answering_s or ANSWERING_S)):
                while since and next(iter(since.values())) < _now() - limit:
                    self._end(next(iter(since)))

    def _end(self, connection: web.RequestHandler) -> None:
        self._idle.pop(connection, None)
        self._busy.pop(connection, None)
        if connection.transport is None:  # still being accepted
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, _abort, connection)
        _abort(connection)

    def _forget_closed(self) -> None:
        # A connection that is still being accepted has no transport yet; the next round looks at it again.
        fresh = _now() - LOOK_EVERY_S
        for since in (self._idle, self._busy):
            for connection in [each for each, at in since.items() if each.transport is None and at < fresh]:
                del since[connection]


def _abort(connection: web.RequestHandler) -> None:
    if connection.transport is not None:
        connection.transport.abort()


def _now() -> float:
    return asyncio.get_running_loop().time()
