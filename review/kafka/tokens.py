"""Tokens for SASL OAUTHBEARER, from a file or from a token endpoint. aiokafka asks at each connection.

librdkafka asks token endpoints by itself; aiokafka does not.
"""

import base64
import ssl
import time
from typing import Final

import aiohttp
import msgspec
from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # same

from review.settings import ENV_PREFIX, ReviewSettings
from schemas.access import UNKNOWN_LIFE_S
from schemas.tls_files import FileFault

WITHIN_S: Final = 5.0
LARGEST: Final = 1 << 16
# A token is asked for anew after this share of its life, as librdkafka does.
SHARE: Final = 0.8


class NoTokenError(KafkaError):  # type: ignore[misc]  # untyped; aiokafka tries again after one of its own kind
    """There is no token to log in with. The message says why, and quotes no secret."""


class _Answer(msgspec.Struct):
    """What RFC 6749 says that a token endpoint answers."""

    access_token: str
    expires_in: float = UNKNOWN_LIFE_S


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # untyped
    """Gives the token that is valid now. Several event loops may ask, each for itself."""

    def __init__(self, settings: ReviewSettings) -> None:
        """Nothing is read yet."""
        super().__init__()
        self._settings = settings
        self._file = settings.token_file()
        self._kept: tuple[str, float] = "", 0.0

    async def token(self) -> str:
        """A token. Raises NoTokenError."""
        try:
            if self._file is not None:
                return self._file.read()[0]
            token, ask_at = self._kept
            if time.monotonic() >= ask_at:
                answer = await self._ask(self._settings.sasl_secret() or "")
                token = answer.access_token
                self._kept = token, time.monotonic() + SHARE * answer.expires_in
        except FileFault as fault:
            raise NoTokenError(fault.line(ENV_PREFIX)) from None
        else:
            return token

    async def _ask(self, secret: str) -> _Answer:
        settings, url = self._settings, self._settings.sasl_token_url or ""
        client = base64.b64encode(f"{settings.sasl_username}:{secret}".encode()).decode()
        form = {"grant_type": "client_credentials"}
        if settings.sasl_token_scope:
            form["scope"] = settings.sasl_token_scope
        try:
            tls = ssl.create_default_context(cafile=settings.sasl_token_ca)
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=WITHIN_S),
                    headers={"Accept": "application/json", "Authorization": f"Basic {client}"},
                    cookie_jar=aiohttp.DummyCookieJar(),
                ) as session,
                session.post(url, data=form, ssl=tls, allow_redirects=False) as response,
            ):
                body = b""
                while len(body) < LARGEST and (part := await response.content.read(LARGEST - len(body))):
                    body += part  # one `read` gives what has come so far
                if response.status != 200:  # noqa: PLR2004 - OK
                    raise NoTokenError(f"{ENV_PREFIX}SASL_TOKEN_URL: its answer is HTTP {response.status}")
                return msgspec.json.decode(body, type=_Answer)
        except msgspec.DecodeError:
            raise NoTokenError(f"{ENV_PREFIX}SASL_TOKEN_URL: its answer holds no token") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoTokenError(f"{ENV_PREFIX}SASL_TOKEN_URL: no answer ({type(error).__name__})") from None
