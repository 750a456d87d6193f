"""A port that the desk listens on: an application behind a door of its own."""

import asyncio
from typing import cast

from aiohttp import web

from review.errors import DeskError
from review.web.door import Door
from review.web.tls import Certificate, TlsDoor


class Listener:
    """Listens while it is open. `port` is the real one, also where a free one was asked for.

    Args:
        application: What answers; its first middleware is `door.watch`.
        door: Limits the connections of this port alone, so that the pages' cannot use up the probes'.
        host: The address to listen on.
        port: 0 picks a free one.
        settings: The names of the two settings, for the message of an error.
        certificate: What is shown to browsers; None speaks HTTP.
    """

    def __init__(
        self,
        application: web.Application,
        door: Door,
        host: str,
        port: int,
        settings: str,
        certificate: Certificate | None = None,
    ) -> None:
        self.port = port
        self._host = host
        self._settings = settings
        self._door = door
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._certificate = certificate
        self._listening: asyncio.Server | None = None
        self._keeping: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Start to listen. Raises DeskError: the address is in use, or not one of this machine."""
        await self._runner.setup()
        self._door.open(cast("web.Server", self._runner.server))
        loop, certificate = asyncio.get_running_loop(), self._certificate
        door = self._door if certificate is None else TlsDoor(self._door, certificate.context)
        try:
            self._listening = await loop.create_server(door, self._host, self.port)
        except OSError as error:
            raise DeskError(
                f"cannot listen on {self._host}:{self.port} ({error.strerror}): set {self._settings}"
            ) from None
        self.port = self._listening.sockets[0].getsockname()[1]
        self._keeping.append(loop.create_task(self._door.keep()))
        if certificate is not None:
            self._keeping.append(loop.create_task(certificate.keep()))

    async def close(self) -> None:
        """Stop listening; requests that are being answered have a second to finish."""
        if self._listening:
            self._listening.close()
        for task in self._keeping:
            task.cancel()
        await self._runner.cleanup()
