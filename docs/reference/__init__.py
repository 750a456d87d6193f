"""The reference pages, which are made from the code at every build of the site, so that they stay current.

Each module makes one page as Markdown. It would overwrite a hand-written page of the same name in the staged
copy, so hand-written references (`models.md`, `desk-api.md`) have other names.
"""

from collections.abc import Callable, Mapping
from typing import Final

from docs.reference import asyncapi, commands, errors, events, kept, metrics, rights, settings

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings.page,
    "metrics.md": metrics.page,
    "events.md": events.page,
    "asyncapi.md": asyncapi.page,
    "commands.md": commands.page,
    "errors.md": errors.page,
    "kept.md": kept.page,
    "rights.md": rights.page,
}
