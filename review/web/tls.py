"""TLS at a port of the desk or the HTTP front: handshakes cannot use it up, and certificates are renewed.

A connection comes to the door (`review.web.door`) once its handshake is done. Before that it counts here:
there are at most HANDSHAKES of them, each for HANDSHAKE_S; where there are too many, the oldest is closed.
"""

import asyncio
import errno
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import structlog

from review.errors import DeskError

log = structlog.get_logger()

HANDSHAKES: Final = 100
HANDSHAKE_S: Final = 5.0
LOOK_EVERY_S: Final = 10.0


class Certificate:
    """The certificate and key that are shown.

    Files that are renewed are read without a restart; connections that are open keep what they have.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *,
        prefix: str = "MIMAMORI_REVIEW_",
        fault: Callable[[str], Exception] = DeskError,
    ) -> None:
        """`prefix` is that of both settings. Raises `fault`: the files cannot be read, or do not fit."""
        self._files = (certificate, key)
        self._read: tuple[bytes, ...] = ()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            self.renew()
        except OSError as error:  # ssl.SSLError is an OSError
            raise fault(
                f"TLS: cannot take {certificate} with {key} ({error.strerror or error}): "
                f"set {prefix}TLS_CERTIFICATE and {prefix}TLS_KEY"
            ) from None

    def renew(self) -> bool:
        """Read the files if they have changed. Returns whether. Raises OSError; then the former one stays."""
        read = tuple(file.read_bytes() for file in self._files)
        if read == self._read:
            return False
        if b"ENCRYPTED" in read[1]:  # in both forms of PEM
            raise OSError(errno.EINVAL, "the key has a passphrase, and must be stored without one")
        # A key that does not fit would spoil the context in use.
        for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
            context.load_cert_chain(*self._files, password=lambda: "")  # never ask at the terminal
        self._read = read
        return True

    async def keep(self) -> None:
        """Look for renewed files until cancelled."""
        fault = ""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if self.renew():
                    log.info("certificate_renewed")
                fault = ""
            except OSError as error:
                if fault != (fault := error.strerror or str(error)):
                    log.error("certificate_not_renewed", error=fault, hint="the former one is still shown")  # noqa: TRY400


class TlsDoor:
    """A protocol factory for the event loop: what it lets in goes on to `door`, which makes protocols too."""

    def __init__(
        self,
        door: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        handshakes: int | None = None,
    ) -> None:
        """There may be `handshakes` at once; see above for None."""
        self._door = door
        self._context = context
        self._handshakes = handshakes
        self._shaking: dict[_Handshake, None] = {}  # the oldest first

    def __call__(self) -> "_Handshake":
        """Take a new connection."""
        if len(self._shaking) >= (self._handshakes or HANDSHAKES):
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.abort()
        new = _Handshake(self._door, self._context, self._over)
        self._shaking[new] = None
        return new

    def _over(self, handshake: "_Handshake") -> None:
        self._shaking.pop(handshake, None)


class _Handshake(asyncio.Protocol):
    """A connection before its handshake is done."""

    def __init__(
        self,
        door: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        over: Callable[["_Handshake"], None],
    ) -> None:
        self._door = door
        self._context = context
        self._over = over
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._aborted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin. What comes on the connection is for TLS from its first byte on."""
        self._transport = cast("asyncio.Transport", transport)
        if self._aborted:
            self._transport.abort()
            return
        self._transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._shake(self._transport))

    def abort(self) -> None:
        """Close it, however far it is."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    async def _shake(self, raw: asyncio.Transport) -> None:
        early = _Early()
        try:
            transport = await asyncio.get_running_loop().start_tls(
                raw, early, self._context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError:  # no handshake, none in time, or hung up
            raw.abort()
            return
        finally:
            self._over(self)
        if transport is not None and not raw.is_closing():
            early.hand_over(self._door(), transport)


class _Early(asyncio.Protocol):
    """Keeps what comes with the last step of a handshake, before anybody is there to take it."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._ended = False
        self._lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self._data.append(data)

    def eof_received(self) -> None:
        self._ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.append(exc)

    def hand_over(self, connection: asyncio.Protocol, transport: asyncio.Transport) -> None:
        """Let `connection` have the transport, and what has come so far."""
        transport.set_protocol(connection)
        connection.connection_made(transport)
        for data in self._data:
            connection.data_received(data)
        if self._ended:
            connection.eof_received()
        for error in self._lost:
            connection.connection_lost(error)
