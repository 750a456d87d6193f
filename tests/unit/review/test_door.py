"""The desk's door: who asks nothing is hung up on, who is being answered is not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from review.web.door import Door

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

Call = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@asynccontextmanager
async def standing(answer: asyncio.Event, begun: asyncio.Semaphore | None = None) -> AsyncIterator[Call]:
    """A server behind a door, whose answers wait for the event; yields what connects to it.

    `begun` is released with each request that begins to be answered.
    """
    opened: list[asyncio.StreamWriter] = []

    async def call() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        opened.append(writer)
        return reader, writer

    async def respond(_request: web.Request) -> web.Response:
        if begun is not None:
            begun.release()
        await answer.wait()
        return web.Response(text="answered")

    door = Door()
    application = web.Application(middlewares=[door.watch])
    application.router.add_get("/", respond)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    door.open(runner.server)
    listening = await asyncio.get_running_loop().create_server(door, "127.0.0.1", 0)
    keeping = asyncio.create_task(door.keep())
    try:
        yield call
    finally:
        for writer in opened:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        keeping.cancel()
        listening.close()
        await runner.cleanup()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of a connection on which nothing comes."""
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            return await reader.read(1) == b""
    return True


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("review.web.door.LOOK_EVERY_S", 0.05)


@pytest.mark.parametrize("sent", [b"", ASK[:-4]])
def test_who_does_not_finish_asking_is_hung_up_on(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("review.web.door.IDLE_S", 0.2)

    async def scene() -> None:
        async with standing(asyncio.Event()) as call:
            reader, writer = await call()
            writer.write(sent)
            assert await ended(reader)

    asyncio.run(scene())


def test_who_is_being_answered_stays_until_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("review.web.door.IDLE_S", 0.2)

    async def scene() -> None:
        answer = asyncio.Event()
        async with standing(answer) as call:
            patient, asking = await call()
            asking.write(ASK)
            idle, _ = await call()
            assert await ended(idle)  # came later, and is gone
            answer.set()
            assert (await patient.readline()).startswith(b"HTTP/1.1 200")
            monkeypatch.setattr("review.web.door.ANSWERING_S", 0.2)
            answer.clear()
            late, asking = await call()
            asking.write(ASK)
            assert await ended(late)

    asyncio.run(scene())


def test_the_longest_idle_goes_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("review.web.door.CONNECTIONS", 2)

    async def scene() -> None:
        answer = asyncio.Event()
        answer.set()
        async with standing(answer) as call:
            first, _ = await call()
            second, asking = await call()
            asking.write(ASK)
            assert (await second.readline()).startswith(b"HTTP/1.1 200")
            third, asking = await call()
            asking.write(ASK)
            assert (await third.readline()).startswith(b"HTTP/1.1 200")
            assert await ended(first)

    asyncio.run(scene())


def test_who_waits_for_an_answer_is_not_cut_off_for_somebody_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("review.web.door.CONNECTIONS", 2)

    async def scene() -> None:
        answer, begun = asyncio.Event(), asyncio.Semaphore(0)
        async with standing(answer, begun) as call:
            first, asking = await call()
            asking.write(ASK)
            await begun.acquire()
            slow, asking = await call()
            asking.write(ASK[:-2] + b"Content-Length: 5\r\n\r\n")
            await begun.acquire()
            third, asking = await call()
            asking.write(ASK)
            assert await ended(slow)  # its body has not come
            await begun.acquire()
            fourth, _ = await call()
            assert (await fourth.readline()).startswith(b"HTTP/1.1 503")
            answer.set()
            for waits in (first, third):
                assert (await waits.readline()).startswith(b"HTTP/1.1 200")

    asyncio.run(scene())
