"""Who may ask: whoever sends one of the tokens of the settings, in one of the places that clients use."""

import hashlib
import hmac
from collections.abc import Collection
from typing import Final

from aiohttp import web

from front.errors import RefusedError

_BEARER: Final = "bearer "


class Tokens:
    """Compares digests, so that the time it takes says nothing about a token."""

    def __init__(self, known: Collection[str]) -> None:
        """`known` are the tokens themselves; none means that everyone may ask."""
        self._known = [_digest(token) for token in known]

    def require(self, request: web.Request) -> None:
        """Raise RefusedError, unless the request has a token that is known, or none is needed."""
        if not self._known:
            return
        given = _digest(_token_of(request))
        if not sum(hmac.compare_digest(given, known) for known in self._known):
            raise RefusedError(
                401,
                "unauthorized",
                "this front needs one of its tokens: send it as Authorization: Bearer, or as the API key",
            )


def _token_of(request: web.Request) -> str:
    """OpenAI's clients send a bearer token, Perspective's an API key in the query or in a header."""
    given = request.headers.get("Authorization", "")
    if given.lower().startswith(_BEARER):
        return given[len(_BEARER) :].strip()
    return request.headers.get("X-Goog-Api-Key") or request.query.get("key", "")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
