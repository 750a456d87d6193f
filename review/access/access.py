"""Puts together what the settings ask for: who is known how, and which cookies go with it."""

from pathlib import Path

from review.access.cookies import Cookies
from review.access.gate import Gate, Known
from review.access.local import CookieKnown
from review.access.sessions import Sessions
from review.settings_access import AccessSettings


class Access:
    """Everything that the web server needs to know who somebody is.

    Args:
        settings: Those of the desk.
        folder: Where sessions are kept; None keeps them in memory.

    Raises DeskError: the sessions' file cannot be read.
    """

    def __init__(self, settings: AccessSettings, folder: Path | None) -> None:
        self.mode = settings.access
        self.https = False
        self.cookies = Cookies(secure=self.https, from_elsewhere=False)
        self.sessions = Sessions(
            folder, idle_s=settings.session_idle_minutes * 60, longest_s=settings.session_hours * 3600
        )
        known: Known = CookieKnown(self.sessions, self.cookies)
        self.gate = Gate(known, self.sessions, settings)

    async def close(self) -> None:
        """Close what is open."""
        self.sessions.shut()
