"""Language, colours and single keys, as each person likes them: kept in cookies of their browser."""

from typing import Final

from aiohttp import web

from review.access import requires
from review.access.cookies import local_path
from review.web.html import LANGUAGE_COOKIE, THEME_COOKIE, THEMES
from review.web.pages.frame import KEYS, KEYS_COOKIE
from review.web.pages.language import LANGUAGES

A_YEAR: Final = 365 * 24 * 3600
KNOWN: Final = {
    "language": (LANGUAGE_COOKIE, tuple(LANGUAGES)),
    "theme": (THEME_COOKIE, THEMES),
    "keys": (KEYS_COOKIE, KEYS),
}


@requires()
async def prefer(request: web.Request) -> web.Response:
    """Keep what somebody chose. What is none of the choices is left as it was."""
    form = await request.post()
    response = web.Response(status=303, headers={"Location": local_path(str(form.get("back", "/")))})
    for name, (cookie, choices) in KNOWN.items():
        if (chosen := form.get(name)) in choices:
            response.set_cookie(
                cookie, str(chosen), max_age=A_YEAR, httponly=True, samesite="Lax", secure=request.secure
            )
    return response
