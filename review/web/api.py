"""The JSON API, for those with a desk of their own (`docs/reference/desk-api.md`).

What a call does is the desk's affair (`review.desk`); here requests are read, and answers written.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import msgspec
from aiohttp import web

from review.access import open_to_all, person_of, requires
from review.app import ReviewApp
from review.cases.conversations import Beside, BesideText
from review.cases.form import Form, parse_form
from review.cases.held import Held
from review.cases.views import CaseView, Claim
from review.errors import DecisionRefusedError, InvalidFormError
from review.people import Person
from review.queue.order import MAX_PAGE, Filter, Page
from review.web.calls import CALLS, ROOT, Asked, Call, Lease, Nothing, Reason, Release, Text
from review.web.guard import error_response, json_response
from review.web.openapi import document

MAX_OFFSET: Final = 999_999_999

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


_KAFKA_GONE: Final = (
    "the desk cannot reach Kafka, or is not allowed what it needs there: nothing is shown or decided "
    "until it can; its log has the reason"
)


class Api:
    """The handlers. Each has the name of its call."""

    def __init__(self, review: ReviewApp) -> None:
        self._review = review
        self._desk = review.desk
        self._openapi = document(CALLS, ROOT)

    def add_to(self, application: web.Application) -> None:
        """Add the routes."""
        for call in CALLS:
            handler = requires(*call.roles)(self._answering(call, getattr(self, f"_{call.name}")))
            application.router.add_route(call.method, ROOT + call.path, handler)
        application.router.add_get(f"{ROOT}/openapi.json", self.openapi)

    @open_to_all
    async def openapi(self, _request: web.Request) -> web.Response:
        """This API as an OpenAPI document."""
        return json_response(self._openapi)

    def _answering(self, call: Call, act: Callable[[web.Request, Person, Any], Awaitable[Any]]) -> Respond:
        @wraps(act)
        async def answer(request: web.Request) -> web.StreamResponse:
            # While the table is recovered, a case that is only not read yet would get a 404.
            if self._review.fault is not None:
                return error_response(503, _KAFKA_GONE)
            if not self._review.ready:
                return error_response(503, "the table is being recovered; try again in a few seconds")
            body = None
            if call.body is Form:
                body = parse_form(await request.read())
            elif call.body is not None:
                body = _read(await request.read(), call.body)
            found = await act(request, person_of(request), body)
            return web.Response(status=204) if found is None else json_response(found, call.status)

        return answer

    async def _cases(self, request: web.Request, person: Person, _body: None) -> Page[CaseView]:
        fields = dict(request.query)
        asked = _query({name: fields.pop(name) for name in Asked.__struct_fields__ if name in fields}, Asked)
        if not 0 <= asked.limit <= MAX_PAGE or not 0 <= asked.offset <= MAX_OFFSET:
            raise InvalidFormError({"limit": f"must be from 0 to {MAX_PAGE}, and offset from 0 on"})
        return self._desk.queue(_query(fields, Filter), person, offset=asked.offset, limit=asked.limit)

    async def _case(self, request: web.Request, person: Person, _body: None) -> CaseView:
        return self._desk.find(_id(request), person)

    async def _mine(self, _request: web.Request, person: Person, _body: None) -> list[CaseView]:
        return self._desk.mine(person)

    async def _next(self, _request: web.Request, person: Person, body: Filter) -> Claim | None:
        return await self._desk.claim_next(person, body)

    async def _claim(self, request: web.Request, person: Person, _body: Nothing) -> Claim:
        return await self._desk.claim(_id(request), person)

    async def _extend(self, request: web.Request, person: Person, body: Lease) -> Claim:
        return await self._desk.extend(_id(request), body.lease, person)

    async def _release(self, request: web.Request, person: Person, body: Release) -> CaseView:
        return await self._desk.release(
            _id(request), body.lease, person, reason=body.reason, reader=body.reader
        )

    async def _reveal(self, request: web.Request, person: Person, _body: Nothing) -> Text:
        return Text(await self._desk.reveal(_id(request), person))

    async def _context(self, request: web.Request, person: Person, _body: None) -> list[Beside]:
        return self._desk.context(_id(request), person)

    async def _reveal_context(self, request: web.Request, person: Person, _body: Nothing) -> list[BesideText]:
        return await self._desk.reveal_context(_id(request), person)

    async def _decision(self, request: web.Request, person: Person, body: Form) -> CaseView:
        metrics = self._review.metrics
        try:
            with metrics.confirm_seconds.time():
                decided = await self._desk.decide(_id(request), body, person)
        except DecisionRefusedError:
            metrics.decisions.labels("refused").inc()
            raise
        metrics.decisions.labels(body.finding).inc()
        return decided

    async def _undo(self, request: web.Request, person: Person, _body: Nothing) -> Claim:
        return await self._desk.undo(_id(request), person)

    async def _reopen(self, request: web.Request, person: Person, body: Reason) -> CaseView:
        return await self._desk.reopen(_id(request), person, body.reason)

    async def _appeal(self, request: web.Request, person: Person, body: Reason) -> CaseView:
        return await self._desk.appeal(_id(request), person, body.reason)

    async def _held(self, _request: web.Request, _person: Person, _body: None) -> list[Held]:
        return self._desk.held()

    async def _discard(self, request: web.Request, person: Person, _body: Nothing) -> Nothing:
        await self._desk.discard(_id(request), person)
        return Nothing()


def _id(request: web.Request) -> str:
    return request.match_info["id"]


def _read(body: bytes, kind: Any) -> Any:
    """The body as `kind`. An empty one is an empty object. Raises InvalidFormError, which quotes nothing."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise InvalidFormError({"body": _fault(error)}) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidFormError({"body": "must be one JSON object"}) from None


def _query(fields: dict[str, str], kind: Any) -> Any:
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidFormError({"query": _fault(error)}) from None


def _fault(error: msgspec.ValidationError) -> str:
    # msgspec names the field and the rule; what somebody sent as a word is left out.
    return str(error).partition("Invalid enum value")[0] or "a word is not one of those that are known"
