"""The reference pages that are made from the code each time the site is built, so that none can be stale.

Each module gives one page as Markdown. A page of the same name written by hand would be overwritten in the
staged copy: hand-written references (`models.md`, `desk-api.md`) have names of their own.
"""

from collections.abc import Callable, Mapping
from typing import Final

from docs.reference import asyncapi, commands, errors, events, metrics, settings

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings.page,
    "metrics.md": metrics.page,
    "events.md": events.page,
    "asyncapi.md": asyncapi.page,
    "commands.md": commands.page,
    "errors.md": errors.page,
}
