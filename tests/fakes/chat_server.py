"""A small real HTTP server of the chat completions protocol, with the faults that real ones have.

It answers by a rule on the message, and keeps what it was sent. A `fault` may answer instead: it is asked
with the request's number, from 0.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Body = dict[str, Any]
Fault = Callable[[int, Body, web.Request], Awaitable[web.StreamResponse | None]]


def said(content: str | None, **others: Any) -> Body:
    """A completion that says `content`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 50, "completion_tokens": 1, "total_tokens": 51}
    return {"object": "chat.completion", "model": "judge-1", "choices": [choice | others], "usage": usage}


def refused(status: int, headers: dict[str, str] | None = None, **error: Any) -> web.Response:
    """An error as OpenAI writes it; its message quotes what was sent, as some do."""
    quoted = {"message": "cannot do this for: I AM SO TIRED, key sk-secret", "type": "some_error"} | error
    return web.json_response({"error": quoted}, status=status, headers=headers)


async def no_fault(_number: int, _body: Body, _request: web.Request) -> web.StreamResponse | None:
    """Answer every request."""
    return None


class ChatServer:
    """Serves on a port of its own, in a thread, for the time of a `with` block."""

    def __init__(self, fault: Fault = no_fault, tls: ssl.SSLContext | None = None) -> None:
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = 0
        self._fault, self._tls = fault, tls
        self._in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    @property
    def texts(self) -> list[str]:
        """The last turn of each request."""
        return [body["messages"][-1]["content"] for body in self.bodies]

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        port = self._runner.addresses[0][1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{port}/v1"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        number = len(self.bodies)
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self._in_flight += 1
        self.at_once = max(self.at_once, self._in_flight)
        try:
            faulty = await self._fault(number, body, request)
            if faulty is not None:
                return faulty
            tired = "tired" in body["messages"][-1]["content"].lower()
            return web.json_response(said("Yes" if tired else "No."))
        finally:
            self._in_flight -= 1
