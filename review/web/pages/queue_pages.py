"""The queue: who waits, most urgent first, and the way to the next case."""

from collections.abc import Iterator, Mapping
from typing import Final, get_args
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from review.access import person_of, requires
from review.access.local import BY_ITSELF
from review.cases.script import Script
from review.errors import DecisionRefusedError, TooManyClaimsError
from review.queue.order import Filter
from review.queue.waiting import State
from review.web.pages.capacity_words import in_sum
from review.web.pages.frame import Frame, see_other
from review.web.pages.rows import rows
from review.web.pages.shown import address
from schemas.vocabulary import CASE_KINDS

PAGE: Final = 20
MAX_DIGITS: Final = 9
SAID: Final = ("skipped", "handed", "discarded", "none")
# What a list may be narrowed by, and no more than a link could hold.
MAX_FILTER: Final = 256
# A browser remembers until it is closed who reads which script. The list of one conversation is whole.
SCRIPT_COOKIE: Final = "mimamori_script"
# Quality samples and golden items are shown as ordinary cases to those who read them.
SHOWN_KINDS: Final = ("escalation", "unread")


class QueuePages:
    """The handlers of the queue."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._desk = frame.review.desk

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/", self.queue)
        application.router.add_post("/next", self.take_next)
        application.router.add_get("/next", self.back)

    @requires("reviewer", "lead")
    async def queue(self, request: web.Request) -> web.Response:
        """The page that people start from; only its list, where the list asks for itself."""
        frame, t = self.frame, self.frame.words(request)
        by_itself = BY_ITSELF in request.query
        person = person_of(request) if by_itself else frame.acted(request)
        if not frame.review.ready:
            return frame.recovering(request)
        wanted, offset = _filter(_remembering(request, request.query)), _offset(request)
        shower = frame.shower(request)
        try:
            found = self._desk.queue(wanted, person, offset=offset, limit=PAGE)
            # What they hold, and what somebody has handed over to them.
            with_them = self._desk.queue(Filter(mine=True), person, offset=0, limit=PAGE)
        except DecisionRefusedError as error:
            return frame.message(request, error.status, "error.title", frame.problem(request, error))
        said = request.query.get("said", "")
        response = frame.page(
            request,
            "rows.html" if by_itself else "queue.html",
            here="queue",
            rows=list(rows(zip(found.cases, found.places, strict=True), shower, t)),
            total=found.total,
            offset=offset,
            limit=PAGE,
            earlier=_link(wanted, max(0, offset - PAGE)) if offset else None,
            later=_link(wanted, offset + PAGE) if offset + PAGE < found.total else None,
            refresh=_link(wanted, offset) + f"&{BY_ITSELF}=yes",
            refresh_seconds=f"{frame.review.settings.refresh_seconds:g}",
            filtered=wanted != Filter(),
            filters=list(self._filters(request, wanted)),
            filter_fields=list(_fields(wanted)),
            mine=[shower.case(view, lead=False) for view in with_them.cases],
            notices=list(self._notices(request)),
            said=t(f"said.{said}") if said in SAID else "",
        )
        if "script" in request.query and wanted.conversation is None:
            response.set_cookie(
                SCRIPT_COOKIE, wanted.script or "", httponly=True, samesite="Lax", secure=request.secure
            )
        return response

    @requires("reviewer", "lead")
    async def back(self, _request: web.Request) -> web.Response:
        """The address of a form, loaded again: back to the queue."""
        return see_other("/")

    @requires("reviewer", "lead")
    async def take_next(self, request: web.Request) -> web.StreamResponse:
        """Take the most urgent case, and go to it. Where somebody has one already, that is where they go."""
        person = self.frame.acted(request)
        if not self.frame.review.ready:
            return self.frame.recovering(request)
        wanted = _filter(_remembering(request, await request.post()))
        if not person.may("lead", "auditor"):  # a list of what colleagues hold is no wish to take that
            wanted = msgspec.structs.replace(wanted, state=None)
        try:
            claim = await self._desk.claim_next(person, wanted)
        except TooManyClaimsError:
            held = [view.id for view in self._desk.mine(person) if view.phase == "claimed"]
            return see_other(address(held[0]) if held else "/")
        except DecisionRefusedError as error:
            problem = self.frame.problem(request, error)
            return self.frame.message(request, error.status, "error.title", problem)
        if claim is None:
            return see_other(_link(wanted, 0) + "&said=none")
        return see_other(address(claim.case.id))

    def _filters(self, request: web.Request, wanted: Filter) -> Iterator[dict[str, object]]:
        """What the list can be narrowed by: nothing that would tell the model's view or of another reader."""
        frame, t, shower = self.frame, self.frame.words(request), self.frame.shower(request)
        person, review = person_of(request), frame.review
        counts = review.present.queue.counts(Filter(), person)
        tasks = sorted({*review.present.queue.tasks(), *([wanted.task] if wanted.task else [])})
        choices = {
            "task": [(task, shower.task(task)) for task in tasks],
            "kind": [(kind, t.named("kind", kind)) for kind in SHOWN_KINDS],
            "state": [
                (state, t(f"filter.state.{state}"))
                for state in get_args(State)
                if state != "second" or person.may("lead", "auditor")
            ],
        }
        if review.settings.model_view == "before" or person.may("lead", "auditor"):
            choices["overdue"] = [("yes", t("filter.overdue.yes"))]
            choices["level"] = [
                (level, frame.house.any_level(level, t.language))
                for level in sorted(counts.by_level)
                if level not in CASE_KINDS
            ]
        shown = [each for each in get_args(Script) if each in {*counts.by_script, wanted.script}]
        if len(shown) > 1 or wanted.script:
            choices["script"] = [(script, t(f"script.{script}")) for script in shown]
        for name, known in choices.items():
            yield {"name": name, "choices": known, "chosen": dict(_fields(wanted)).get(name, "")}

    def _notices(self, request: web.Request) -> Iterator[str]:
        t, review = self.frame.words(request), self.frame.review
        lead = person_of(request).may("lead")
        # Reviewers take one case after the other; that there are too many is for leads to mend.
        if lead and (delayed := self._desk.capacity().forecast).missed:
            hours, ahead = in_sum(delayed.hours_late, t), delayed.horizon - delayed.now
            yield t(
                "queue.delayed",
                n=delayed.missed,
                severe=delayed.missed_severe,
                hours=hours,
                within=t.lasting(ahead),
                people=delayed.pace.at_work,
            )
        if review.held_partitions < review.cluster.partitions:
            yield t("queue.partitions", held=review.held_partitions, of=review.cluster.partitions)
        if unreadable := review.present.unreadable.values():
            last = max(unreadable, key=lambda record: record.seen_at)
            places = {"topic": last.topic, "partition": last.partition, "offset": last.offset}
            yield t("queue.unreadable", n=len(unreadable), detail=last.detail, **places)
        if lead and review.present.held:
            yield t("queue.held_events", n=len(review.present.held))


def _remembering(request: web.Request, given: Mapping[str, object]) -> Mapping[str, object]:
    """What was asked for, and the script that this browser remembers where nothing was said of it."""
    if "conversation" in given:
        return given
    return {"script": request.cookies.get(SCRIPT_COOKIE, ""), **given}


def _filter(given: Mapping[str, object]) -> Filter:
    """The filter of an address or a form. What is none of its words does not filter."""
    text = {name: str(given.get(name, ""))[:MAX_FILTER] or None for name in Filter.__struct_fields__}
    state = next((known for known in get_args(State) if known == text["state"]), None)
    script = next((known for known in get_args(Script) if known == text["script"]), None)
    return Filter(
        task=text["task"],
        kind=text["kind"],
        level=text["level"],
        state=state,
        overdue={"yes": True, "no": False}.get(text["overdue"] or ""),
        conversation=text["conversation"],
        mine=text["mine"] == "yes",
        script=script,
    )


def _fields(wanted: Filter) -> Iterator[tuple[str, str]]:
    for name, value in msgspec.structs.asdict(wanted).items():
        if value is not None and (name, value) != ("mine", False):
            yield name, {True: "yes", False: "no"}.get(value, str(value))


def _link(wanted: Filter, offset: int) -> str:
    return "/?" + urlencode([*_fields(wanted), ("offset", offset)])


def _offset(request: web.Request) -> int:
    text = request.query.get("offset", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0
