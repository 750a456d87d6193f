"""Puts together what the settings ask for: who is known how, and which cookies go with it."""

from pathlib import Path

from review.access.cookies import Cookies
from review.access.gate import Gate, Known
from review.access.local import CookieKnown
from review.access.oidc import Provider
from review.access.proxy import ProxyKnown
from review.access.sessions import Sessions
from review.access.web_client import WebClient
from review.settings_access import AccessSettings


class Access:
    """Everything that the web server needs to know who somebody is.

    Args:
        settings: Those of the desk.
        folder: Where sessions are kept; None keeps them in memory.

    Raises DeskError: the sessions' file, or the PEM of the authorities, cannot be read.
    """

    def __init__(self, settings: AccessSettings, folder: Path | None) -> None:
        self.mode = settings.access
        self.https = settings.https
        self.proxy_sign_out_url = settings.proxy_sign_out_url
        # Somebody who comes back from a provider comes from another site: a `Strict` cookie would not count.
        self.cookies = Cookies(secure=self.https, from_elsewhere=self.mode == "oidc")
        self._client = WebClient(settings.identity_ca)
        self.sessions = Sessions(
            folder, idle_s=settings.session_idle_minutes * 60, longest_s=settings.session_hours * 3600
        )
        self.provider = Provider(settings, self._client) if self.mode == "oidc" else None
        known: Known = (
            ProxyKnown(settings, self._client)
            if self.mode == "proxy"
            else CookieKnown(self.sessions, self.cookies)
        )
        self.gate = Gate(known, self.sessions, settings)

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()
        self.sessions.shut()
