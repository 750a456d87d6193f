"""Sign-in on one machine: whoever sits there types a name, and has every role.

It proves nothing about anybody, so the desk then listens on loopback alone. There is a session all the same:
pages work as they do with an identity provider, and a page of another origin cannot send a decision.
"""

from typing import Final

from aiohttp import web

from review.access.cookies import Cookies
from review.access.sessions import Sessions
from review.people import DESK, ROLES, Person

MAX_NAME: Final = 120
# What stands in the address where a page asks, and not a person.
BY_ITSELF: Final = "refresh"


class CookieKnown:
    """Knows people by their session."""

    def __init__(self, sessions: Sessions, cookies: Cookies) -> None:
        self._sessions = sessions
        self._cookies = cookies

    async def person(self, request: web.Request) -> tuple[Person, str] | None:
        """See `review.access.gate.Known`."""
        token = self._cookies.session(request)
        # A queue that asks for itself is nobody at the desk: their session must not last for ever by that.
        by_itself = BY_ITSELF in request.query
        session = self._sessions.find(token, used=not by_itself) if token else None
        return None if token is None or session is None else (session.person, token)


def somebody(typed: str) -> Person | str:
    """The person who typed this name, or what is wrong with it."""
    name = " ".join(typed.split())
    if not name or name == DESK:
        return "type your name: it is recorded with each decision"
    if len(name) > MAX_NAME:
        return f"type at most {MAX_NAME} characters"
    if not name.isprintable():
        return "type letters alone: there is a character in it that cannot be shown"
    return Person(id=name, name=name, roles=frozenset(ROLES))
