"""What an identity provider says when a session there has ended (OpenID Connect Back-Channel Logout 1.0)."""

import time
from collections.abc import Callable
from typing import Final

import msgspec

from review.access.errors import SignInRefusedError
from review.access.tokens import Claims

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_MOST: Final = 10_000


class Ended(msgspec.Struct, frozen=True):
    """Which sessions have ended: the one of this id at the provider, or all of this subject."""

    sub: str | None
    sid: str | None


class LogoutTokens:
    """Reads the claims of tokens whose signature, issuer, audience and times are verified already.

    A token counts once: replayed while it is valid, it would end sessions that were opened since.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._heard: dict[str, float] = {}

    def ended(self, claims: Claims) -> Ended:
        """What a token says. Raises SignInRefusedError: it is no logout token, or an old one."""
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
            raise SignInRefusedError("claim_events")
        if "nonce" in claims:  # an ID token passed off as one
            raise SignInRefusedError("claim_nonce")
        sub, sid = (_named(claims, name) for name in ("sub", "sid"))
        if sub is None and sid is None:
            raise SignInRefusedError("neither_sub_nor_sid")
        self._once(str(claims["jti"]), float(claims["exp"]))
        return Ended(sub, sid)

    def _once(self, token_id: str, until: float) -> None:
        if token_id in self._heard:
            raise SignInRefusedError("replayed")
        now = self._now()
        if len(self._heard) >= _MOST:
            self._heard = {each: end for each, end in self._heard.items() if end > now}
        self._heard[token_id] = until


def _named(claims: Claims, name: str) -> str | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise SignInRefusedError(f"claim_{name}")
    return value
