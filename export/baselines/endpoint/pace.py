"""How fast the endpoint may be asked: requests and tokens a minute, evenly, and a pause that it asks for."""

import asyncio
from typing import Final

import msgspec
from aiolimiter import AsyncLimiter

from engine.errors import SettingsError

_MINUTE_S: Final = 60.0


class Limits(msgspec.Struct, frozen=True):
    """What the endpoint's owner allows; None is no limit. `at_once` requests are in flight at most."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    at_once: int = 4

    def __post_init__(self) -> None:
        """Raises SettingsError: a limit that nothing passes."""
        for limit in (self.requests_per_minute, self.tokens_per_minute, self.at_once):
            if limit is not None and not limit > 0:
                raise SettingsError("the endpoint's limits must be more than 0")


class Pace:
    """Lets requests through one after the other, in even steps: a minute's share is not sent at once."""

    def __init__(self, limits: Limits, largest: int) -> None:
        """`largest` is how many tokens the largest request has. Use it within one event loop."""
        per_minute = limits.requests_per_minute
        self._requests = None if per_minute is None else AsyncLimiter(1, _MINUTE_S / per_minute)
        tokens = limits.tokens_per_minute
        # A request of more tokens than a minute allows takes that whole minute's.
        self._most = 0.0 if tokens is None else min(float(largest), tokens)
        self._tokens = None if tokens is None else AsyncLimiter(self._most, _MINUTE_S * self._most / tokens)
        self._quiet_until = 0.0

    async def turn(self, tokens: int) -> None:
        """Wait until a request of so many tokens may be sent."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            await self._tokens.acquire(min(tokens, self._most))
        clock = asyncio.get_running_loop().time
        while (wait := self._quiet_until - clock()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the endpoint said that it has too much to do."""
        until = asyncio.get_running_loop().time() + seconds
        self._quiet_until = max(self._quiet_until, until)
