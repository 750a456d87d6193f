"""One attempt to tell a notice over HTTP. Nothing of the answer but its status is looked at."""

import time
from typing import NamedTuple

import aiohttp
import msgspec

from review.hooks.notice import Notice
from review.hooks.signature import signed_headers


class Answer(NamedTuple):
    """Whether the receiver took it, the reason where not, and after how many seconds it wants to be asked."""

    taken: bool
    reason: str = ""
    retry_after: float = 0.0


class Post:
    """Sends notices to one URL. No redirect is followed, since it could lead anywhere."""

    def __init__(self, url: str, secret: bytes, timeout_s: float) -> None:
        self._url = url
        self._secret = secret
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, notice: Notice) -> Answer:
        """Try once. Any failure is an answer, never an exception."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        body = msgspec.json.encode(notice)
        headers = signed_headers(self._secret, notice.id, int(time.time()), body)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.ok and response.status < 300:  # noqa: PLR2004 - the first status that is no success
                    return Answer(taken=True)
                asked = response.headers.get("Retry-After", "")
                return Answer(False, f"status {response.status}", float(asked) if asked.isdecimal() else 0.0)
        # ValueError: an id that no header can hold. One such case must not stop the others.
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(False, type(error).__name__)

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
