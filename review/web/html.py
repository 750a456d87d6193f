"""Renders templates. Jinja escapes everything, and no page has an inline script or style."""

from typing import Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from review.web.pages.language import Words, choose, words
from review.web.pages.shown import address

LANGUAGE_COOKIE: Final = "mimamori_language"
THEME_COOKIE: Final = "mimamori_theme"
THEMES: Final = ("auto", "light", "dark")

_environment = Environment(
    loader=PackageLoader("review.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["address"] = address


def words_for(request: web.Request) -> Words:
    """The language of whoever asks."""
    return words(choose(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("Accept-Language")))


def page(request: web.Request, template: str, *, status: int = 200, **values: object) -> web.Response:
    """A page in the language and the colours of whoever asks."""
    t, theme = words_for(request), request.cookies.get(THEME_COOKIE)
    body = _environment.get_template(template).render(
        t=t, theme=theme if theme in THEMES else THEMES[0], **values
    )
    return web.Response(
        text=body,
        status=status,
        content_type="text/html",
        headers={"Content-Language": t.language, "Vary": "Accept-Language, Cookie"},
    )
