"""What was not believed: events that the desk holds back, for a lead to look at and to discard."""

from aiohttp import web

from review.access import requires
from review.errors import DecisionRefusedError
from review.web.pages.frame import Frame, see_other


class HeldPages:
    """The handlers of the page for leads."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._desk = frame.review.desk

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/held", self.held)
        application.router.add_post("/held", self.discard)

    @requires("lead")
    async def held(self, request: web.Request) -> web.Response:
        """Every event that is held back."""
        frame, t = self.frame, self.frame.words(request)
        frame.acted(request)
        if not frame.review.ready:
            return frame.recovering(request)
        said = t("said.discarded") if request.query.get("said") == "discarded" else ""
        return frame.page(
            request, "held.html", here="held", held=self._desk.held(), name=frame.name, said=said
        )

    @requires("lead")
    async def discard(self, request: web.Request) -> web.Response:
        """Set what is held on a case aside."""
        person, form = self.frame.acted(request), await request.post()
        if not self.frame.review.ready:
            return self.frame.recovering(request)
        try:
            await self._desk.discard(str(form.get("case", "")), person)
        except DecisionRefusedError as error:
            problem = self.frame.problem(request, error)
            return self.frame.message(request, error.status, "error.title", problem)
        return see_other("/held?said=discarded")
