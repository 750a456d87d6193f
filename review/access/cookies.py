"""The two cookies: one says which session a browser has, and the other which sign-in it has begun.

Both are out of reach for scripts. Where browsers come by https they are `Secure`, and named so that no other
host can set them (`__Host-`).

What a sign-in has to remember until it is done (where to go then, and the secrets of the way to an
identity provider) lies in its cookie, sealed by this process: nobody fills the desk's memory by beginning
sign-ins, and a restart asks for one more click.
"""

import secrets
from typing import Final, Literal

import msgspec
from aiohttp import web
from cryptography.fernet import Fernet, InvalidToken

# How long a sign-in may take, a second factor included.
SIGN_IN_S: Final = 600
_STATE_IN_NAME: Final = 8


class SignIn(msgspec.Struct, frozen=True):
    """A sign-in that has begun in one tab of a browser.

    `state` comes back with the answer, and shows that it belongs to this browser; `nonce` and `verifier` are
    for an identity provider.
    """

    back_to: str = "/"
    state: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(64))


class Cookies:
    """Reads and sets them.

    Args:
        secure: Browsers come by https.
        from_elsewhere: The session also counts where another site's page links to the desk, as an identity
            provider's does (`SameSite=Lax`; changes still need a token of the desk's own page).
    """

    def __init__(self, *, secure: bool, from_elsewhere: bool) -> None:
        prefix = "__Host-" if secure else ""
        self._session = f"{prefix}mimamori"
        self._sign_in = f"{prefix}mimamori-sign-in-"
        self._secure = secure
        self._same_site: Literal["Lax", "Strict"] = "Lax" if from_elsewhere else "Strict"
        self._seal = Fernet(Fernet.generate_key())

    def session(self, request: web.Request) -> str | None:
        """The token that this browser shows."""
        return request.cookies.get(self._session)

    def set_session(self, response: web.StreamResponse, token: str) -> None:
        """Give a browser its token. It forgets it when it is closed; the desk forgets it when it ends."""
        response.set_cookie(
            self._session, token, path="/", httponly=True, secure=self._secure, samesite=self._same_site
        )

    def end_session(self, response: web.StreamResponse) -> None:
        """Take the token from a browser."""
        response.del_cookie(
            self._session, path="/", httponly=True, secure=self._secure, samesite=self._same_site
        )

    def begin(self, response: web.StreamResponse, sign_in: SignIn) -> None:
        """Remember a sign-in in the browser that begins it."""
        response.set_cookie(
            self._sign_in + sign_in.state[:_STATE_IN_NAME],
            self._seal.encrypt(msgspec.json.encode(sign_in)).decode(),
            max_age=SIGN_IN_S,
            path="/",
            httponly=True,
            secure=self._secure,
            samesite="Lax",
        )

    def begun(self, request: web.Request, state: str) -> SignIn | None:
        """The sign-in with this state; None: this browser has begun none, or too long ago."""
        sealed = request.cookies.get(self._sign_in + state[:_STATE_IN_NAME])
        if sealed is None:
            return None
        try:
            found = msgspec.json.decode(
                self._seal.decrypt(sealed.encode(errors="replace"), ttl=SIGN_IN_S), type=SignIn
            )
        except (InvalidToken, msgspec.DecodeError):
            return None
        return found if secrets.compare_digest(found.state.encode(), state.encode(errors="replace")) else None

    def done(self, response: web.StreamResponse, sign_in: SignIn) -> None:
        """Forget a sign-in that has been done."""
        response.del_cookie(
            self._sign_in + sign_in.state[:_STATE_IN_NAME],
            path="/",
            httponly=True,
            secure=self._secure,
            samesite="Lax",
        )


def local_path(wanted: str | None) -> str:
    """The path to go to after a sign-in: one of this desk, whatever a link says."""
    if not wanted or not wanted.isprintable() or not wanted.startswith("/") or wanted[1:2] in {"/", "\\"}:
        return "/"
    return wanted
