"""One request to the endpoint: what is tried again and for how long, what ends all, what is no answer.

    certificate, redirect, 401, 402, 403, 404, other 4xx    ends all, in one line
    429, connection refused                                 tried again, then ends all
    5xx, 408, 409, 425, no reply in time, a broken reply    tried again, then this text has no answer
    400, 413, 422                                           told to the caller: a parameter, or this text

An error says status, the endpoint's code where it is a known one, and what to do. It never says what the
endpoint wrote, which may quote a message, and never shows a header, which may hold the key.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from export.baselines.endpoint.address import Address, Key
from export.baselines.endpoint.answer import Reply, read_reply
from export.baselines.endpoint.pace import Pace
from export.errors import EndpointError

_LARGEST_REPLY: Final = 1 << 20
# The endpoint's own codes that an error may show. Anything else could be a message's word, or the key.
_CODES: Final = frozenset(
    {
        "DeploymentNotFound",
        "authentication_error",
        "billing_hard_limit_reached",
        "content_filter",
        "content_policy_violation",
        "context_length_exceeded",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_request_error",
        "model_not_found",
        "not_found_error",
        "overloaded_error",
        "permission_error",
        "rate_limit_exceeded",
        "server_error",
        "string_above_max_length",
        "unsupported_parameter",
        "unsupported_value",
    }
)
_BUSY: Final = 429
_TOLD: Final = {400, 413, 422}
_PASSING: Final = {408, 409, 425, _BUSY}
_ADVICE: Final = {
    401: "check the key",
    402: "the account has no credit",
    403: "the key may not use this model",
    404: "check the URL (it usually ends in /v1) and the model's name",
}


class Patience(msgspec.Struct, frozen=True):
    """How long a request may take, and how often and after what waits it is tried again."""

    attempts: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    timeout_s: float = 60.0


class NoReplyError(Exception):
    """After all attempts there is no reply to this text."""


class RefusedRequestError(Exception):
    """The request is refused as it is: `parameter` names what, where the endpoint says."""

    def __init__(self, status: int, code: str, parameter: str | None) -> None:
        super().__init__(f"answered {status}{f' ({code})' if code else ''}")
        self.status = status
        self.code = code
        self.parameter = parameter


class _PassingError(Exception):
    """May be over at the next attempt. `final`: if it is not, no other text has a chance either."""

    def __init__(self, what: str, *, final: bool = False) -> None:
        super().__init__(what)
        self.final = final


class Line:
    """A session with the endpoint, for one event loop."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: Address,
        key: Key | None,
        pace: Pace,
        patience: Patience,
    ) -> None:
        self._session = session
        self._address = address
        self._key = key
        self._pace = pace
        self._patience = patience
        self._proxy = _proxy_for(address)

    async def ask(self, body: bytes, tokens: int) -> Reply:
        """Send one request, of about so many tokens, until there is a reply.

        Raises EndpointError: the endpoint cannot be used. NoReplyError: it gives none to this text.
        RefusedRequestError: it will not take this request.
        """
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._patience.attempts),
            wait=wait_exponential_jitter(
                max=self._patience.longest_wait_s,
                jitter=self._patience.first_wait_s,
                multiplier=self._patience.first_wait_s,
            ),
            retry=retry_if_exception_type(_PassingError),
            reraise=True,
        )
        try:
            return await attempts(self._once, body, tokens)
        except _PassingError as error:
            if error.final:
                raise EndpointError(
                    f"{self._address.place} {error} in {self._patience.attempts} attempts: try again later, "
                    "or lower the limits (--requests-per-minute, --tokens-per-minute, --at-once)"
                ) from None
            raise NoReplyError(str(error)) from None

    async def _once(self, body: bytes, tokens: int) -> Reply:
        await self._pace.turn(tokens)
        place = self._address.place
        headers = {"Content-Type": "application/json"} | (self._key.header if self._key else {})
        try:
            async with self._session.post(
                self._address.url, data=body, headers=headers, allow_redirects=False, proxy=self._proxy
            ) as response:
                content = await _bounded(response)
                status, asked = response.status, _asked_wait(response)
        except (aiohttp.ClientSSLError, ssl.SSLError):
            raise EndpointError(
                f"{place} has no certificate for TLS that this machine trusts: check the URL, or let "
                "SSL_CERT_FILE name your organisation's authority"
            ) from None
        except TimeoutError:
            raise _PassingError(f"gave no reply within {self._patience.timeout_s:g} s") from None
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError):
            raise _PassingError("cannot be reached", final=True) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise _PassingError("broke off its reply") from None
        if status != 200:  # noqa: PLR2004 - OK
            raise self._refused(status, content or b"", asked)
        reply = None if content is None else read_reply(content)
        if reply is None:
            raise _PassingError("replied with what is no chat completion")
        return reply

    def _refused(self, status: int, content: bytes, asked: float | None) -> Exception:
        """What the status means."""
        place = self._address.place
        code, parameter = _told(content)
        said = f"answered {status}{f' ({code})' if code else ''}"
        if status in _TOLD:
            return RefusedRequestError(status, code, parameter)
        if code == "insufficient_quota":
            return EndpointError(f"{place} {said}: {_ADVICE[402]}")
        if 300 <= status < 400:  # noqa: PLR2004 - redirects
            return EndpointError(
                f"{place} {said}, a redirect, and messages go to the host that was agreed to and to no "
                "other: give the final URL"
            )
        if status not in _PASSING and status < 500:  # noqa: PLR2004 - the server's faults
            return EndpointError(f"{place} {said}: {_ADVICE.get(status, 'check the URL')}")
        if asked is not None and asked > self._patience.longest_wait_s:
            return EndpointError(f"{place} {said} and asks to wait {asked:,.0f} s: try again then")
        if asked is not None:
            self._pace.pause(asked)  # for all requests, and longer than the backoff where that is shorter
        return _PassingError(said, final=status == _BUSY)


@asynccontextmanager
async def opened(
    address: Address, key: Key | None, pace: Pace, patience: Patience, at_once: int
) -> AsyncIterator[Line]:
    """A line for the time of the block."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=at_once),
        timeout=aiohttp.ClientTimeout(total=patience.timeout_s),
        headers={"User-Agent": "mimamori", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # a small reply cannot become a large one
        trust_env=False,  # it would also take passwords from ~/.netrc
    ) as session:
        yield Line(session, address, key, pace, patience)


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None where it is larger than any answer."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > _LARGEST_REPLY:
            return None
    return bytes(content)


def _asked_wait(response: aiohttp.ClientResponse) -> float | None:
    """The seconds of Retry-After, which is a number or a date; None where there is none to be understood."""
    said = response.headers.get("Retry-After", "")
    try:
        wait = float(said)
    except ValueError:
        try:
            until = parsedate_to_datetime(said)
        except (ValueError, TypeError):
            return None
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)
        wait = (aware - datetime.now(UTC)).total_seconds()
    return max(0.0, wait) if wait == wait else None  # noqa: PLR0124 - not for not-a-number


class _Error(msgspec.Struct, frozen=True):
    code: str | int | None = None
    type: str | None = None
    param: str | None = None


class _Refusal(msgspec.Struct, frozen=True):
    error: _Error


def _told(content: bytes) -> tuple[str, str | None]:
    """The error's code, where it is a known one, and the parameter that it is about (never shown)."""
    try:
        error = msgspec.json.decode(content, type=_Refusal).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", None
    code = next((str(word) for word in (error.code, error.type) if word in _CODES), "")
    return code, error.param


def _proxy_for(address: Address) -> str | None:
    """The environment's proxy for https, which sees no text. Without TLS the endpoint is asked directly."""
    if not address.encrypted or proxy_bypass(address.host):
        return None
    return getproxies().get("https")
