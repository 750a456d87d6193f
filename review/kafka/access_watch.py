"""Looks after a desk's access to Kafka while it runs: what is renewed on disk.

    PEM files     every new connection takes them
    a token       aiokafka asks for it at every new connection
    a password    aiokafka keeps the one that it was given: once the new one has been tried, the desk ends in
                  order, to be started again. A table that is kept makes that a matter of seconds

A file that is missing, or is not what it should be, is told, and what was read before stays in use.
"""

import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import structlog
from mode import Service

from review.errors import DeskError
from review.settings import ENV_PREFIX, ReviewSettings
from schemas.tls_files import FileFault

log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0


class AccessWatch(Service):
    """Looks every few seconds.

    Args:
        settings: Which files there are. They are read now.
        context: What Faust's clients use for TLS; it is given what is renewed.
        tried: Connects anew, with what the files say now. Raises DeskError: Kafka lets nobody in.
        end: Ends the desk with this error.
        told: Is told when the certificate ends, in seconds since 1970.
    """

    def __init__(
        self,
        settings: ReviewSettings,
        context: ssl.SSLContext | None,
        tried: Callable[[], Awaitable[object]],
        end: Callable[[DeskError], Awaitable[None]],
        told: Callable[[float], object],
    ) -> None:
        super().__init__()
        self._settings = settings
        self._context = context
        self._tried = tried
        self._end = end
        self._told = told
        self._password = self._password_now()
        self._taken = b"" if context is None else settings.tls_files().digest()
        self._fault = ""
        self._tell()

    @Service.task
    async def keep_looking(self) -> None:
        """Look until the desk ends."""
        while not self.should_stop:
            await self.sleep(LOOK_EVERY_S)
            if not self.should_stop:
                await self.look()

    async def look(self) -> None:
        """Look once."""
        try:
            self._look_at_files()
            await self._look_at_password()
            self._fault = ""
        except (FileFault, DeskError) as fault:
            said = fault.line(ENV_PREFIX) if isinstance(fault, FileFault) else str(fault)
            if said != self._fault:
                hint = "the one read before is still in use"
                log.error("kafka_secret_not_renewed", error=said, hint=hint)  # noqa: TRY400 - the line says it
            self._fault = said

    def _look_at_files(self) -> None:
        if self._context is None:
            return
        files = self._settings.tls_files()
        if (digest := files.digest()) == self._taken:
            return
        files.check(datetime.now(UTC))
        files.load_into(self._context)
        self._taken = digest
        self._tell()
        log.info("kafka_certificate_renewed")

    async def _look_at_password(self) -> None:
        password = self._password_now()
        if password == self._password:
            return
        await self._tried()
        self._password = password
        fault = DeskError(
            f"the password in {ENV_PREFIX}SASL_PASSWORD_FILE was renewed: this desk ends, to be started again"
        )
        log.warning("kafka_password_renewed", hint="this desk ends, to be started again with it")
        await self._end(fault)

    def _password_now(self) -> str | None:
        settings = self._settings
        return None if settings.sasl_mechanism == "OAUTHBEARER" else settings.sasl_secret()

    def _tell(self) -> None:
        ends = self._settings.tls_files().ends_at() if self._context is not None else None
        if ends is not None:
            self._told(ends.timestamp())
