"""The desk's web server over a desk in memory, in a thread of its own, for tests that ask as browsers do."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from review.app import ReviewApp
from review.web.server import DeskServer
from tests.fakes.memory_review import MemoryReview

T = TypeVar("T")


class ServedDesk:
    """A desk that answers on `url`, and on `health_port`. What changes it runs in its own thread: `run`."""

    def __init__(self, review: MemoryReview, server: DeskServer, loop: asyncio.AbstractEventLoop) -> None:
        self.review = review
        self.url = f"http://127.0.0.1:{server.pages.port}"
        self.health_port = server.health.port
        self._loop = loop

    def run(self, change: Coroutine[Any, Any, T]) -> T:
        """Do something in the desk's thread, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(change, self._loop).result(10)


@contextmanager
def served(review: MemoryReview) -> Iterator[ServedDesk]:
    """Serve a desk until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait_for(awaitable: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(awaitable, loop).result(10)

    server = wait_for(_opened(review))
    ending = asyncio.run_coroutine_threadsafe(_end_overdue(review), loop)
    try:
        yield ServedDesk(review, server, loop)
    finally:
        ending.cancel()
        wait_for(server.on_stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _opened(review: MemoryReview) -> DeskServer:
    server = DeskServer(cast("ReviewApp", review))
    await server.on_start()
    return server


async def _end_overdue(review: MemoryReview) -> None:
    while True:
        await review.desk.end_overdue()
        await asyncio.sleep(0.1)
