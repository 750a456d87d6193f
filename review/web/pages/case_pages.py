"""The workplace: one case, and the steps that a person takes on it. Each is a form, answered by a page."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import get_args

import structlog
from aiohttp import web

from review.access import requires
from review.cases.conversations import BesideText
from review.cases.form import MAX_NOTE, Form
from review.cases.views import CaseView
from review.desk import MAX_REASON
from review.errors import DecisionRefusedError, InvalidFormError, NotAuditedError
from review.people import Person
from review.queue.skips import SKIP_REASONS
from review.web.pages.frame import Frame, see_other
from review.web.pages.glyphs import Glyph
from review.web.pages.message import blocks
from review.web.pages.shown import SEPARATOR, address
from schemas.vocabulary import Finding

log = structlog.get_logger()


Step = Callable[["CasePages", web.Request, Person, str], Awaitable[web.StreamResponse]]
Handler = Callable[["CasePages", web.Request], Awaitable[web.StreamResponse]]


def _step(step: Step) -> Handler:
    """A handler of a step. Where it is refused, the case is shown as it is now, with what went wrong."""

    @requires("reviewer", "lead")
    @wraps(step)
    async def respond(self: "CasePages", request: web.Request) -> web.StreamResponse:
        person, case_id = self.frame.acted(request), request.match_info["id"]
        if not self.frame.review.ready:
            return self.frame.recovering(request)
        try:
            return await step(self, request, person, case_id)
        except DecisionRefusedError as error:
            return await self.refused(request, person, case_id, error)

    return respond


class CasePages:
    """The handlers under /case/."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._desk = frame.review.desk

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        add = application.router
        add.add_get("/case/{id}", self.look)
        for name, handler in (
            ("claim", self.claim),
            ("reveal", self.reveal),
            ("context", self.context),
            ("extend", self.extend),
            ("release", self.release),
            ("decide", self.decide),
            ("undo", self.undo),
            ("reopen", self.reopen),
        ):
            add.add_post(f"/case/{{id}}/{name}", handler)
            # The address of a form's answer, loaded again: back to the case.
            add.add_get(f"/case/{{id}}/{name}", self.back)

    @_step
    async def look(self, request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Show a case."""
        return self._show(request, person, self._desk.find(case_id, person))

    @requires("reviewer", "lead")
    async def back(self, request: web.Request) -> web.StreamResponse:
        """Go to the case."""
        return see_other(address(request.match_info["id"]))

    @_step
    async def claim(self, _request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Take this case."""
        await self._desk.claim(case_id, person)
        return see_other(address(case_id))

    @_step
    async def reveal(self, request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Show the text, once its reading is recorded."""
        form = await request.post()
        return await self._read(request, person, case_id, text=True, context=form.get("context") == "yes")

    @_step
    async def context(self, request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Show the other messages of the conversation, once the reading of each is recorded."""
        form = await request.post()
        return await self._read(
            request, person, case_id, text=form.get("revealed") == "yes", context=True, focus="context"
        )

    async def _read(
        self,
        request: web.Request,
        person: Person,
        case_id: str,
        *,
        text: bool,
        context: bool,
        focus: str = "",
    ) -> web.StreamResponse:
        try:
            read = await self._desk.reveal(case_id, person) if text else None
            around = await self._desk.reveal_context(case_id, person) if context else None
        except NotAuditedError as error:
            problem = self.frame.words(request)("error.not_audited")
            view = self._desk.find(case_id, person)
            return self._show(request, person, view, problem=problem, status=error.status)
        view = self._desk.find(case_id, person)
        if not view.has_text:  # it was erased while the conversation was read
            read = None
        return self._show(request, person, view, text=read, around=around, focus=focus)

    @_step
    async def extend(self, request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Keep the case longer."""
        form = await request.post()
        await self._desk.extend(case_id, str(form.get("lease", "")), person)
        return see_other(address(case_id))

    @_step
    async def release(self, request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Skip the case, or hand it over."""
        form = await request.post()
        reason, reader = str(form.get("reason", "")), str(form.get("reader", "")).strip()
        if not reader and reason not in SKIP_REASONS:
            raise InvalidFormError({"reason": f"must be one of {', '.join(SKIP_REASONS)}"})
        await self._desk.release(
            case_id,
            str(form.get("lease", "")),
            person,
            reason=None if reader else reason,
            reader=reader or None,
        )
        return see_other("/?said=handed" if reader else "/?said=skipped")

    @_step
    async def decide(self, request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Take a decision."""
        metrics = self.frame.review.metrics
        form = await request.post()
        try:
            given = _form(str(form.get("choice", "")), str(form.get("lease", "")), str(form.get("note", "")))
            with metrics.confirm_seconds.time():
                await self._desk.decide(case_id, given, person)
        except InvalidFormError as error:
            metrics.decisions.labels("refused").inc()
            return await self._again(request, person, case_id, error)
        except DecisionRefusedError:
            metrics.decisions.labels("refused").inc()
            raise
        metrics.decisions.labels(given.finding).inc()
        return see_other(address(case_id))

    @_step
    async def undo(self, _request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Take back a decision that is not published yet."""
        await self._desk.undo(case_id, person)
        return see_other(address(case_id))

    @_step
    async def reopen(self, request: web.Request, person: Person, case_id: str) -> web.StreamResponse:
        """Ask for another decision."""
        form = await request.post()
        await self._desk.reopen(case_id, person, str(form.get("reason", "")).strip())
        return see_other(address(case_id))

    async def refused(
        self, request: web.Request, person: Person, case_id: str, error: DecisionRefusedError
    ) -> web.StreamResponse:
        """The case as it is now, with what went wrong; or only that, where there is no such case.

        What somebody chose and wrote stays on the page: they may only have to confirm it once more.
        """
        problem = self.frame.problem(request, error)
        form = await request.post()
        try:
            view = self._desk.find(case_id, person)
        except DecisionRefusedError:
            return self.frame.message(request, error.status, "error.title", problem)
        return self._show(
            request,
            person,
            view,
            problem=problem,
            status=error.status,
            chosen=str(form.get("choice", "")),
            note=str(form.get("note", ""))[:MAX_NOTE],
        )

    async def _again(
        self, request: web.Request, person: Person, case_id: str, error: InvalidFormError
    ) -> web.StreamResponse:
        """The form with what was filled in, and the text where it was shown: nobody loses what they wrote."""
        form = await request.post()
        missing = not form.get("choice")
        t = self.frame.words(request)
        problem = t("decide.missing") if missing else self.frame.problem(request, error)
        text = await self._desk.reveal(case_id, person) if form.get("revealed") == "yes" else None
        shown = form.get("context") == "yes"
        around = await self._desk.reveal_context(case_id, person) if shown else None
        view = self._desk.find(case_id, person)
        return self._show(
            request,
            person,
            view,
            text=text if view.has_text else None,
            around=around,
            problem=problem,
            status=error.status,
            chosen=str(form.get("choice", "")),
            note=str(form.get("note", ""))[:MAX_NOTE],
        )

    def _show(
        self,
        request: web.Request,
        person: Person,
        view: CaseView,
        *,
        text: str | None = None,
        around: list[BesideText] | None = None,
        problem: str = "",
        status: int = 200,
        chosen: str = "",
        note: str = "",
        focus: str = "",
    ) -> web.Response:
        shower = self.frame.shower(request)
        case = shower.case(view, lead=person.may("lead"))
        highlights = view.model.highlights if view.model else []
        cut = None if text is None else blocks(text, highlights, shortened=view.text_shortened)
        pieces = [piece for block in cut or () for piece in block.pieces]
        return self.frame.page(
            request,
            "case.html",
            status=status,
            case=case,
            blocks=cut,
            beside=self._desk.context(view.id, person),
            around=None if around is None else [shower.beside(view, each) for each in around],
            hidden_characters=any(isinstance(piece.what, Glyph) for piece in pieces),
            marked=any(piece.mark for piece in pieces),
            facts=list(shower.facts(view)),
            model=None if view.model is None else list(shower.model(view, view.model)),
            history=shower.history(view.history),
            choices=shower.choices(view) if case.mine else [],
            erasable=_erasable(view) if person.may("lead") else [],
            guidance=self.frame.house.advice(self.frame.words(request).language),
            skip_reasons=list(SKIP_REASONS),
            colleagues=self.frame.colleagues(person),
            problem=problem,
            chosen=chosen,
            note=note,
            max_reason=MAX_REASON,
            autofocus=focus or _focus(view, shown=cut is not None),
        )


def _erasable(view: CaseView) -> list[tuple[str, str]]:
    """What a lead can have erased from here."""
    return [("message", view.message_id), *([("author", view.author_id)] if view.author_id else [])]


def _focus(view: CaseView, *, shown: bool) -> str:
    """Where the page begins, so that the next step is one key away."""
    if shown:
        return "text"
    if view.mine and view.phase == "claimed":
        return "reveal" if view.has_text else ""
    return "claim" if view.phase == "waiting" else "next"


def _form(choice: str, lease: str, note: str) -> Form:
    """The form of a decision. Raises InvalidFormError: no answer was chosen, or the note is too long."""
    finding, _, severity = choice.partition(SEPARATOR)
    for known in get_args(Finding):
        if finding == known:
            if len(note) > MAX_NOTE:
                raise InvalidFormError({"note": f"must be at most {MAX_NOTE} characters"})
            return Form(finding=known, lease=lease, severity=severity or None, note=note.strip() or None)
    raise InvalidFormError({"choice": "must be one of the answers"})
