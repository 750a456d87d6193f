"""Signed tokens (JWT): whether one was signed by whom it should be, for us, and is valid now.

Only asymmetric signatures count. With an HMAC, or with `none`, whoever knows the public keys could sign.
"""

import time
from collections.abc import Callable
from typing import Any, Final, Literal

from joserfc import jwk, jwt
from joserfc.errors import (
    BadSignatureError,
    ClaimError,
    ExpiredTokenError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
)

from review.access.errors import ProviderDownError, SignInRefusedError
from review.access.web_client import WebClient

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
# Keys change seldom, and announce themselves by a new `kid`.
_KEYS_FOR_S: Final = 3600.0
# Whoever sends tokens with made-up key ids must not make the desk ask the provider each time.
_ASK_EVERY_S: Final = 10.0

Claims = dict[str, Any]


class Keys:
    """An issuer's public keys, fetched when they are needed, and kept while it does not answer."""

    def __init__(self, client: WebClient, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._now = now
        self._keys: jwk.KeySet | None = None
        self._fetched = self._asked = float("-inf")

    async def fetch(self, url: str, *, anew: bool = False) -> jwk.KeySet:
        """The keys. `anew`: a token names one that is not among them.

        Raises ProviderDownError: they cannot be had, and none are kept.
        """
        now = self._now()
        old = now >= self._fetched + _KEYS_FOR_S
        if self._keys is None or ((anew or old) and now >= self._asked + _ASK_EVERY_S):
            self._asked = now
            try:
                self._keys = _key_set(await self._client.get(url))
                self._fetched = now
            except ProviderDownError:
                if self._keys is None:
                    raise
        return self._keys


class Verifier:
    """Verifies the tokens of one issuer for one audience.

    Args:
        keys: The issuer's.
        issuer: What `iss` has to be, to the letter.
        audience: What has to be in `aud`.
        leeway_s: How far the issuer's clock may be from ours.
        now: Seconds since 1970.
        about: The claim that a token must have beside: the person, or for a logout the token's own id.
    """

    def __init__(
        self,
        keys: Keys,
        issuer: str,
        audience: str,
        leeway_s: float,
        now: Callable[[], float] = time.time,
        *,
        about: Literal["sub", "jti"] = "sub",
    ) -> None:
        self._keys = keys
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(now()),
            leeway=int(leeway_s),
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": about == "sub"},
            jti={"essential": about == "jti"},
        )

    async def verify(self, token: str, keys_url: str) -> Claims:
        """The claims of a token that can be trusted.

        Raises SignInRefusedError: it cannot. ProviderDownError: the keys cannot be had.
        """
        try:
            try:
                found = jwt.decode(token, await self._keys.fetch(keys_url), algorithms=ALGORITHMS)
            except (InvalidKeyIdError, BadSignatureError):  # signed with a key that is new
                found = jwt.decode(token, await self._keys.fetch(keys_url, anew=True), algorithms=ALGORITHMS)
            self._claims.validate(found.claims)
        except ExpiredTokenError:
            raise SignInRefusedError("expired") from None
        except ClaimError as error:
            raise SignInRefusedError(f"claim_{error.claim}") from None
        except UnsupportedAlgorithmError:
            raise SignInRefusedError("algorithm") from None
        except InvalidKeyIdError:
            raise SignInRefusedError("unknown_key") from None
        except BadSignatureError:
            raise SignInRefusedError("signature") from None
        except (JoseError, ValueError, TypeError, RecursionError):
            raise SignInRefusedError("malformed") from None
        return found.claims


def _key_set(answer: dict[str, object]) -> jwk.KeySet:
    """The usable keys of a JWKS. Raises ProviderDownError: there are none."""
    listed = answer.get("keys")
    keys = []
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and each.get("kty") in _KEY_TYPES and each.get("use", "sig") == "sig":
            try:
                keys.append(jwk.import_key(each))
            except (JoseError, ValueError, TypeError):  # a kind of key that is not ours to judge
                continue
    if not keys:
        raise ProviderDownError("no_keys")
    return jwk.KeySet(keys)
