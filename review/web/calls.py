"""The calls of the JSON API. Routes and the OpenAPI document are made from this list."""

from typing import Any, Final, Literal, NamedTuple

import msgspec

from review.cases.conversations import Beside, BesideText
from review.cases.form import Form
from review.cases.held import Held
from review.cases.views import CaseView, Claim
from review.people import Role
from review.queue.order import Filter, Page

ROOT: Final = "/api/v1"
DEFAULT_LIMIT: Final = 50
_WORK: Final[tuple[Role, ...]] = ("reviewer", "lead")
_LEAD: Final[tuple[Role, ...]] = ("lead",)


class Asked(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What `GET /cases` can be asked for, beside a filter."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0


class Lease(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The claim that a step belongs to."""

    lease: str


class Release(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Gives a case back: with a reason why it is skipped, or to a `reader`, by id."""

    lease: str
    reason: str | None = None
    reader: str | None = None


class Reason(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Why another decision is asked for, in a few words."""

    reason: str


class Text(msgspec.Struct, frozen=True):
    """A message's text; None where it does not travel with cases."""

    text: str | None


class Nothing(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An empty object."""


class Call(NamedTuple):
    """One call. `body` and `answer` are types; `query` are those of what may stand behind the `?`.

    `may_be_empty`: there may be nothing to answer, which is a 204.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    says: str
    roles: tuple[Role, ...]
    answer: Any
    body: Any = None
    query: tuple[type[msgspec.Struct], ...] = ()
    status: int = 200
    may_be_empty: bool = False


CALLS: Final = (
    Call(
        "cases",
        "GET",
        "/cases",
        "The open cases, most urgent first",
        _WORK,
        Page[CaseView],
        query=(Filter, Asked),
    ),
    Call("case", "GET", "/cases/{id}", "One case, as this person may see it now", _WORK, CaseView),
    Call("mine", "GET", "/mine", "What this person holds, or has just decided", _WORK, list[CaseView]),
    Call(
        "next",
        "POST",
        "/next",
        "Claim the case that this person should take now; 204 where none waits",
        _WORK,
        Claim,
        Filter,
        may_be_empty=True,
    ),
    Call("claim", "POST", "/cases/{id}/claim", "Claim one case", _WORK, Claim, Nothing),
    Call("extend", "POST", "/cases/{id}/extend", "Keep a claimed case longer", _WORK, Claim, Lease),
    Call(
        "release",
        "POST",
        "/cases/{id}/release",
        "Give a case back, or hand it over",
        _WORK,
        CaseView,
        Release,
    ),
    Call(
        "reveal",
        "POST",
        "/cases/{id}/reveal",
        "Read the text; the audit log notes it first",
        _WORK,
        Text,
        Nothing,
    ),
    Call(
        "context",
        "GET",
        "/cases/{id}/context",
        "Which other messages of its conversation the desk holds, without their texts",
        _WORK,
        list[Beside],
    ),
    Call(
        "reveal_context",
        "POST",
        "/cases/{id}/context",
        "Read them; the audit log notes each first",
        _WORK,
        list[BesideText],
        Nothing,
    ),
    Call(
        "decision", "POST", "/cases/{id}/decision", "Decide a claimed case", _WORK, CaseView, Form, status=201
    ),
    Call(
        "undo",
        "POST",
        "/cases/{id}/undo",
        "Take back a decision that is not published yet",
        _WORK,
        Claim,
        Nothing,
    ),
    Call(
        "reopen", "POST", "/cases/{id}/reopen", "Ask for another decision, as a lead", _LEAD, CaseView, Reason
    ),
    Call(
        "appeal",
        "POST",
        "/cases/{id}/appeal",
        "Ask for another decision, for somebody concerned",
        _LEAD,
        CaseView,
        Reason,
    ),
    Call("held", "GET", "/held", "Events that were not believed", _LEAD, list[Held]),
    Call(
        "discard",
        "POST",
        "/cases/{id}/discard",
        "Set the events that are held on a case aside",
        _LEAD,
        Nothing,
        Nothing,
    ),
)
