"""Who saw and did what: the audit log as a page, and as a file. Looking at it is written down as well."""

from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from review.access import requires
from review.audit.export import as_csv
from review.audit.log import Asked, Found
from review.errors import DeskError
from review.web.pages.frame import Frame

SHOWN: Final = 200
DAYS: Final = (1, 7, 30, 365)
_LONGEST: Final = 400  # characters of a filter


class AuditPages:
    """The handlers of the page for auditors."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._review = frame.review

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        application.router.add_get("/audit", self.audit)
        application.router.add_get("/audit/export", self.export)

    @requires("auditor", "lead")
    async def audit(self, request: web.Request) -> web.Response:
        """The newest records that are asked for."""
        person, asked, filters = self.frame.acted(request), _asked(request), _filters(request)
        try:
            await self._review.trail.listed(person, _said("audit log", filters))
            found = await self._review.audit_log(asked)
        except DeskError:
            return self.frame.message(request, 503, "audit.title", self.frame.words(request)("audit.unread"))
        return self.frame.page(
            request,
            "audit.html",
            here="audit",
            records=found.records[: -SHOWN - 1 : -1],
            total=len(found.records),
            unsigned=sum(seen.fault is not None for seen in found.records),
            unreadable=found.unreadable,
            filters=filters,
            days=DAYS,
            export=request.rel_url.with_path("/audit/export", keep_query=True),
            name=self.frame.name,
        )

    @requires("auditor", "lead")
    async def export(self, request: web.Request) -> web.Response:
        """All records that are asked for, as CSV."""
        person = self.frame.acted(request)
        await self._review.trail.record(person, "exported", detail=_said("audit log", _filters(request)))
        try:
            found: Found = await self._review.audit_log(_asked(request))
        except DeskError:
            return self.frame.message(request, 503, "audit.title", self.frame.words(request)("audit.unread"))
        name = f"audit-{datetime.now(UTC):%Y-%m-%d}.csv"
        return web.Response(
            text="".join(as_csv(found.records)),
            content_type="text/csv",
            charset="utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def _filters(request: web.Request) -> dict[str, str]:
    given = {name: request.query.get(name, "").strip()[:_LONGEST] for name in ("case", "actor", "action")}
    return {"days": str(_days(request))} | given


def _days(request: web.Request) -> int:
    given = request.query.get("days", "")
    return int(given) if given in {str(days) for days in DAYS} else DAYS[0]


def _asked(request: web.Request) -> Asked:
    wanted = _filters(request)
    return Asked(
        datetime.now(UTC) - timedelta(days=_days(request)),
        case=wanted["case"] or None,
        actor=wanted["actor"] or None,
        action=wanted["action"] or None,
    )


def _said(what: str, filters: dict[str, str]) -> str:
    return f"{what}: " + " ".join(f"{name}={value}" for name, value in filters.items() if value)
