"""OpenID Connect: the way to an identity provider and back (authorization code, with PKCE, state and nonce).

    1. begin      the browser is sent to the provider; `state`, `nonce` and the verifier stay in its cookie
    2. the person signs in there, with whatever factors the provider asks for
    3. complete   the browser comes back with a code, which the desk exchanges for an ID token, and verifies

After that the desk's own session counts, so a provider that is down signs nobody out, until the provider says
that its session has ended (`review.access.logout`). Nothing of the provider is asked for at start: the desk
starts without it.
"""

import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec

from review.access.claims import person_from
from review.access.cookies import SignIn
from review.access.errors import ProviderDownError, SignInRefusedError
from review.access.logout import Ended, LogoutTokens
from review.access.sessions import SignedIn
from review.access.tokens import Claims, Keys, Verifier
from review.access.web_client import WebClient
from review.settings_access import AccessSettings, check_url

CALLBACK: Final = "/oidc/callback"
SIGNED_OUT: Final = "/signed-out"
BACK_CHANNEL: Final = "/oidc/back-channel-logout"
_METADATA_FOR_S: Final = 3600.0


class Metadata(msgspec.Struct, frozen=True):
    """What the desk needs of a provider's description of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Provider:
    """An identity provider, as one client sees it. `settings.access` is oidc."""

    def __init__(
        self, settings: AccessSettings, client: WebClient, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._client = client
        self._issuer = settings.oidc_issuer or ""
        self._client_id = settings.oidc_client_id or ""
        self._here = (settings.public_url or "").rstrip("/")
        keys, leeway_s = Keys(client), settings.clock_leeway_seconds
        self._verifier = Verifier(keys, self._issuer, self._client_id, leeway_s, now)
        self._of_logouts = Verifier(keys, self._issuer, self._client_id, leeway_s, now, about="jti")
        self._logouts = LogoutTokens(now)
        self._metadata: Metadata | None = None
        self._fetched = float("-inf")

    async def begin(self, sign_in: SignIn) -> str:
        """The provider's page for this sign-in. Raises ProviderDownError."""
        metadata = await self._describe()
        challenge = urlsafe_b64encode(sha256(sign_in.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._here + CALLBACK,
            "scope": self._settings.oidc_scopes,
            "state": sign_in.state,
            "nonce": sign_in.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(metadata.authorization_endpoint, asked)

    async def complete(self, sign_in: SignIn, answer: Mapping[str, str]) -> SignedIn:
        """Who has signed in, from the query that the browser came back with.

        Raises SignInRefusedError: nobody has. ProviderDownError: the provider does not answer now.
        """
        metadata = await self._describe()
        issuer = answer.get("iss")  # RFC 9207: another provider's answer is not taken for this one's
        if issuer != self._issuer and (
            issuer is not None or metadata.authorization_response_iss_parameter_supported
        ):
            raise SignInRefusedError("answer_of_another_issuer")
        if "error" in answer:
            raise SignInRefusedError(f"provider_says_{_word(answer['error'])}")
        code = answer.get("code")
        if not code:
            raise SignInRefusedError("no_code")
        token = await self._exchange(metadata, code, sign_in.verifier)
        claims = await self._verifier.verify(token, metadata.jwks_uri)
        self._check_ours(claims, sign_in.nonce)
        sid = claims.get("sid")
        named = Ended(claims["sub"], sid if isinstance(sid, str) and sid else None)
        return SignedIn(person_from(claims, self._settings), token, named)

    async def ended(self, logout_token: str) -> Ended:
        """Which sessions the provider says have ended there.

        Raises SignInRefusedError: nothing is to be believed. ProviderDownError: its keys cannot be had.
        """
        metadata = await self._describe()
        return self._logouts.ended(await self._of_logouts.verify(logout_token, metadata.jwks_uri))

    async def sign_out_page(self, id_token: str | None) -> str | None:
        """The provider's page for signing out there too; None: it has none, or does not answer."""
        try:
            metadata = await self._describe()
        except ProviderDownError:
            return None
        if metadata.end_session_endpoint is None:
            return None
        asked = {"client_id": self._client_id, "post_logout_redirect_uri": self._here + SIGNED_OUT}
        return _with_query(
            metadata.end_session_endpoint, asked | ({"id_token_hint": id_token} if id_token else {})
        )

    def _check_ours(self, claims: Claims, nonce: str) -> None:
        if claims.get("nonce") != nonce:
            raise SignInRefusedError("nonce")
        # Who asked for the token. With several audiences it must be said, and always it must be this desk.
        azp = claims.get("azp")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if azp != self._client_id and (azp is not None or several):
            raise SignInRefusedError("azp")

    async def _exchange(self, metadata: Metadata, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._here + CALLBACK,
            "code_verifier": verifier,
        }
        headers = {}
        secret = self._settings.oidc_client_secret
        if secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            pair = f"{quote_plus(self._client_id)}:{quote_plus(secret.get_secret_value())}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self._client_id, "client_secret": secret.get_secret_value()}
        status, answer = await self._client.post(metadata.token_endpoint, form, headers)
        if status != 200:  # noqa: PLR2004 - OK
            raise SignInRefusedError(f"token_endpoint_says_{_word(answer.get('error'))}")
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise SignInRefusedError("no_id_token")
        return token

    async def _describe(self) -> Metadata:
        """The provider's description, kept for an hour, and longer while it does not answer."""
        now = time.monotonic()
        if self._metadata is None or now >= self._fetched + _METADATA_FOR_S:
            try:
                self._metadata = await self._fetch()
                self._fetched = now
            except ProviderDownError:
                if self._metadata is None:
                    raise
        return self._metadata

    async def _fetch(self) -> Metadata:
        found = await self._client.get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        try:
            metadata = msgspec.convert(found, Metadata)
            for each in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
                check_url("endpoint", each)
            check_url("endpoint", metadata.end_session_endpoint)
        except (msgspec.ValidationError, ValueError):
            raise ProviderDownError("metadata_malformed") from None
        if metadata.issuer != self._issuer:
            raise ProviderDownError("metadata_of_another_issuer")
        return metadata


def _with_query(page: str, asked: Mapping[str, str]) -> str:
    return page + ("&" if urlsplit(page).query else "?") + urlencode(asked)


def _word(said: object) -> str:
    """An error code of OAuth, as far as it is one: it goes into the log."""
    short = isinstance(said, str) and len(said) <= 40 and said.replace("_", "").isascii()  # noqa: PLR2004
    return said if isinstance(said, str) and short and said.replace("_", "").isalnum() else "something_else"
