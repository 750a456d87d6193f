"""Serves the desk over HTTP: its pages, its JSON API (`docs/reference/desk-api.md`), probes and metrics.

It runs in Faust's event loop beside the agents, so that it reads the table without locks.
"""

from pathlib import Path

from aiohttp import web
from mode import Service

from review.access import every_route_is_guarded
from review.access.access import Access
from review.app import ReviewApp
from review.settings_access import AccessSettings
from review.web.api import Api
from review.web.audited import audited
from review.web.door import Door
from review.web.guard import guard
from review.web.health import health_application
from review.web.listener import Listener
from review.web.pages.all_pages import add_pages
from review.web.sign_in import SignInPages
from review.web.tls import Certificate

STATIC = Path(__file__).parent / "static"
MAX_BODY = 64 << 10


class DeskServer(Service):
    """The web server. It listens before the table is recovered, so that probes get an answer."""

    def __init__(self, review: ReviewApp) -> None:
        super().__init__()
        settings = review.settings
        self._access = Access(settings, None if settings.store == "memory" else settings.folder)
        pages, probes = Door(), Door()
        self.pages = Listener(
            desk_application(review, pages, self._access),
            pages,
            settings.host,
            settings.port,
            "MIMAMORI_REVIEW_HOST and MIMAMORI_REVIEW_PORT",
            certificate_of(settings),
        )
        self.health = Listener(
            health_application(review, probes),
            probes,
            settings.health_host,
            settings.health_port,
            "MIMAMORI_REVIEW_HEALTH_HOST and MIMAMORI_REVIEW_HEALTH_PORT",
        )

    async def on_start(self) -> None:
        """Start to listen. Raises DeskError: an address is in use, or not one of this machine."""
        await self.health.open()
        await self.pages.open()

    async def on_stop(self) -> None:
        """Stop listening."""
        await self.pages.close()
        await self.health.close()
        await self._access.close()


def certificate_of(settings: AccessSettings) -> Certificate | None:
    """The certificate that the settings name; None: a proxy before the desk has one, or nobody."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


def desk_application(review: ReviewApp, door: Door, access: Access) -> web.Application:
    """The aiohttp application, behind `door`. Raises DeskError: a route names no role."""
    application = web.Application(
        middlewares=[
            door.watch,
            guard(review.settings.hosts, review.metrics, https=access.https),
            audited(review.trail),
            access.gate.watch,
        ],
        client_max_size=MAX_BODY,
    )
    SignInPages(access, review.metrics).add_to(application)
    add_pages(application, review)
    Api(review).add_to(application)
    application.router.add_static("/static", STATIC)
    every_route_is_guarded(application)
    return application
