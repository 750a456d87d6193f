"""A desk without Kafka and cases: the real guard, gate and sign-in pages, before four small handlers."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from review.access import csrf_of, every_route_is_guarded, person_of, requires
from review.access.access import Access
from review.metrics import DeskMetrics
from review.settings import ReviewSettings
from review.web.guard import guard
from review.web.sign_in import SignInPages


@requires("reviewer", "lead")
async def queue(request: web.Request) -> web.Response:
    return web.Response(text=f"{person_of(request).name} {csrf_of(request)}", content_type="text/html")


@requires("auditor")
async def audit(_request: web.Request) -> web.Response:
    return web.Response(text="who saw what", content_type="text/html")


@requires("lead")
async def held(_request: web.Request) -> web.Response:
    return web.Response(text="held", content_type="text/html")


@requires("reviewer", "lead")
async def decide(request: web.Request) -> web.Response:
    return web.Response(text=f"decided by {person_of(request).id}")


@contextmanager
def small_desk(settings: ReviewSettings, folder: Path | None = None, port: int = 0) -> Iterator[str]:
    """Serve it in a thread; yields its address."""

    async def serve(serving: Future[str], ended: asyncio.Event) -> None:
        access, metrics = Access(settings, folder), DeskMetrics()
        application = web.Application(
            middlewares=[guard(settings.hosts, metrics, https=access.https), access.gate.watch]
        )
        SignInPages(access, metrics).add_to(application)
        application.router.add_get("/", queue)
        application.router.add_get("/audit", audit)
        application.router.add_get("/held", held)
        application.router.add_post("/decide", decide)
        every_route_is_guarded(application)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        serving.set_result(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await ended.wait()
        await runner.cleanup()
        await access.close()

    serving: Future[str] = Future()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(serving, ended)))
    thread.start()
    try:
        yield serving.result(30)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
