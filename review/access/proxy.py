"""A proxy that has signed people in, and says who they are in a signed token with every request.

Such are Google's IAP, Cloudflare Access, and oauth2-proxy where it passes the ID token on. A header without
a signature, such as X-Forwarded-User, counts for nothing: whoever reaches the desk past the proxy could send
it.
"""

from aiohttp import web

from review.access.claims import person_from
from review.access.errors import SignInRefusedError
from review.access.tokens import Keys, Verifier
from review.access.web_client import WebClient
from review.people import Person
from review.settings_access import AccessSettings


class ProxyKnown:
    """Knows people by the proxy's token. `settings.access` is proxy."""

    def __init__(self, settings: AccessSettings, client: WebClient) -> None:
        self._settings = settings
        self._keys_url = settings.proxy_keys_url or ""
        self._verifier = Verifier(
            Keys(client),
            settings.proxy_issuer or "",
            settings.proxy_audience or "",
            settings.clock_leeway_seconds,
        )

    async def person(self, request: web.Request) -> tuple[Person, str] | None:
        """See `review.access.gate.Known`.

        Raises SignInRefusedError: a token came that does not hold. ProviderDownError: there are no keys yet.
        """
        given = request.headers.getall(self._settings.proxy_header, [])
        if not given:
            return None
        if len(given) > 1:
            raise SignInRefusedError("several_tokens")
        token = given[0].removeprefix("Bearer ").strip()
        person = person_from(await self._verifier.verify(token, self._keys_url), self._settings)
        return person, person.id
