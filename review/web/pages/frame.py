"""What every page has around it: language, colours, keys, who is signed in, and what can still be undone."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web
from markupsafe import Markup, escape

from review.access import csrf_of, person_of
from review.app import ReviewApp
from review.cases.views import CaseView
from review.people import Person, Role
from review.web.html import page, words_for
from review.web.pages.house import house
from review.web.pages.language import LANGUAGES, Words
from review.web.pages.shown import Shower, clock

KEYS_COOKIE: Final = "mimamori_keys"
KEYS: Final = ("on", "off")

# htmx is set so that it needs no inline script or style, and keeps nothing: its history would be texts in the
# browser's storage. An answer of any status is shown, since errors are pages too; 204 changes nothing.
HTMX: Final = msgspec.json.encode(
    {
        "allowEval": False,
        "allowScriptTags": False,
        "includeIndicatorStyles": False,
        "historyCacheSize": 0,
        "defaultSettleDelay": 0,
        "refreshOnHistoryMiss": True,
        "selfRequestsOnly": True,
        "responseHandling": [{"code": "204", "swap": False}, {"code": "...", "swap": True}],
    }
).decode()

# The list that `?` shows: keys, and the words under them.
SHORTCUTS: Final = (
    (("N",), "next"), (("R",), "reveal"), (("C",), "context"), (("1", "…", "9"), "choose"),
    (("Enter",), "open"), (("U",), "undo"), (("S",), "skip"), (("H",), "hand"), (("E",), "extend"),
    (("M",), "note"), (("T",), "take"), (("Q",), "queue"), (("J", "K"), "move"), (("Esc",), "leave"),
    (("?",), "help"),
)  # fmt: skip
# Pages beside the queue, and who sees the way to them. A page that is not there has no way.
PLACES: Final[tuple[tuple[str, str, tuple[Role, ...]], ...]] = (
    ("held", "/held", ("lead",)),
    ("figures", "/figures", ("lead", "auditor")),
    ("audit", "/audit", ("auditor", "lead")),
    ("erase", "/erase", ("lead",)),
)


class Frame:
    """Renders pages, and knows what they share."""

    def __init__(self, review: ReviewApp) -> None:
        settings = review.settings
        self.review = review
        self.house = house(settings.house)
        self._names: dict[str, str] = {}

    def words(self, request: web.Request) -> Words:
        """The language of whoever asks."""
        return words_for(request)

    def shower(self, request: web.Request) -> Shower:
        """Shows cases in that language."""
        return Shower(self.words(request), self.house, self.name, datetime.now(UTC))

    def name(self, person_id: str) -> str:
        """The name of somebody who has been here since the desk started, or else their id."""
        return self._names.get(person_id, person_id)

    def colleagues(self, person: Person) -> list[str]:
        """The ids of others who have been here."""
        return sorted(set(self._names) - {person.id})

    def acted(self, request: web.Request) -> Person:
        """Who asks; colleagues know their name from now on."""
        person = person_of(request)
        self._names[person.id] = person.name
        return person

    def page(
        self, request: web.Request, template: str, *, status: int = 200, **content: object
    ) -> web.Response:
        """A page for whoever asks."""
        person = person_of(request)
        mine = self.review.desk.mine(person) if self.review.ready else []
        return page(
            request,
            template,
            status=status,
            person=person,
            csrf=Markup('<input type="hidden" name="csrf" value="{}">').format(escape(csrf_of(request))),
            keys="off" if request.cookies.get(KEYS_COOKIE) == "off" else "on",
            languages=LANGUAGES,
            shortcuts=SHORTCUTS,
            places=list(self._places(request, person)),
            undoable=list(self._undoable(self.shower(request), mine)),
            load=self.review.desk.load(person) if self.review.ready else None,
            here=content.pop("here", ""),
            back=request.path_qs if request.method == "GET" else "/",
            clock=clock,
            htmx_config=HTMX,
            **content,
        )

    def message(self, request: web.Request, status: int, heading: str, said: str) -> web.Response:
        """A page that says one thing. `heading` is a key of the words."""
        heading = self.words(request)(heading)
        return self.page(request, "message.html", status=status, heading=heading, said=said, again="")

    def recovering(self, request: web.Request) -> web.Response:
        """While the table is read back, a case that is only not here yet would look unknown.

        Where Kafka is gone, or refuses what the desk needs, no step would count, and no reading be audited.
        """
        t = self.words(request)
        title, said = t("queue.recovering_title"), t("queue.recovering")
        if self.review.fault is not None:
            title, said = t("queue.kafka_gone_title"), t("queue.kafka_gone")
        return self.page(
            request,
            "message.html",
            status=503,
            heading=title,
            said=said,
            again=request.path_qs if request.method == "GET" else "/",
        )

    def problem(self, request: web.Request, error: Exception) -> str:
        """What went wrong, in words for whoever asks."""
        t = self.words(request)
        key = f"error.{type(error).__name__}"
        return t(key if t.has(key) else "error.other")

    def _places(self, request: web.Request, person: Person) -> Iterable[tuple[str, str]]:
        there = {resource.canonical for resource in request.app.router.resources()}
        for name, path, roles in PLACES:
            if path in there and person.may(*roles):
                yield name, path

    def _undoable(self, shower: Shower, mine: Iterable[CaseView]) -> Iterable[dict[str, object]]:
        for view in mine:
            if view.phase == "decided" and view.decision and (left := shower.left(view.undo_until)) > 0:
                yield {"id": view.id, "what": shower.outcome(view, view.decision).what, "left": left}


def see_other(path: str) -> web.Response:
    """Go on to another page, after a form."""
    return web.Response(status=303, headers={"Location": path})
