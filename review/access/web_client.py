"""Asks an identity provider: for a short time, for a small answer, and without being sent elsewhere."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from review.access.errors import ProviderDownError
from review.errors import DeskError

WITHIN_S: Final = 5.0
LARGEST: Final = 1 << 20

Json = dict[str, object]


class WebClient:
    """GET and POST, answered in JSON. Raises DeskError where `ca` cannot be read.

    Args:
        ca: PEM of the authorities to trust; None: those of this machine.
    """

    def __init__(self, ca: Path | None) -> None:
        try:
            self._tls = ssl.create_default_context(cafile=ca)
        except OSError as error:  # ssl.SSLError is an OSError
            raise DeskError(
                f"TLS to the identity provider: cannot read {ca} ({error.strerror or error}): "
                "set MIMAMORI_REVIEW_IDENTITY_CA"
            ) from None
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str) -> Json:
        """An object. Raises ProviderDownError: no answer in time, or any but 200 and one JSON object."""
        status, content = await self._ask("GET", url)
        if status != 200:  # noqa: PLR2004 - OK
            raise ProviderDownError(f"http_{status}")
        return content

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, Json]:
        """A status below 500, and an object. Raises ProviderDownError otherwise."""
        return await self._ask("POST", url, form, headers)

    async def close(self) -> None:
        """Close connections."""
        if self._session:
            await self._session.close()

    async def _ask(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Json]:
        if self._session is None:  # it belongs to the loop that runs now
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=8),
                timeout=aiohttp.ClientTimeout(total=WITHIN_S),
                headers={"Accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.request(
                method, url, data=form, headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.content.read(LARGEST + 1)
                while not answer.content.at_eof() and len(body) <= LARGEST:
                    body += await answer.content.read(LARGEST + 1 - len(body))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ProviderDownError(type(error).__name__) from None
        if answer.status >= 500 or len(body) > LARGEST:  # noqa: PLR2004 - the server's own faults
            raise ProviderDownError(f"http_{answer.status}")
        try:
            return answer.status, msgspec.json.decode(body, type=Json)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProviderDownError("not_json") from None
