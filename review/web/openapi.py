"""The API as an OpenAPI 3.1 document, made from its calls and their types."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from review import errors
from review.errors import DecisionRefusedError
from review.web.calls import Call

_REFS: Final = "#/components/schemas/{name}"
_ABOUT: Final = (
    "Cases that wait for a person, for those with a desk of their own. A program sends its token as "
    "`Authorization: Bearer mmr_…`, and names the person it acts for in `On-Behalf-Of`. Every step is "
    "answered once it stands in the log of case events. A 503 says that this is not known: look at the case "
    "again. Decisions are read from the topic `review-decisions`, which stays the contract."
)


class Refusal(msgspec.Struct, frozen=True):
    """Why a request was refused. `fields` names what is wrong with each field of a body."""

    error: str
    fields: dict[str, str] = {}


def document(calls: Iterable[Call], root: str) -> dict[str, object]:
    """The document. Its schemas are those that msgspec reads and writes the bodies by."""
    calls = list(calls)
    types = [kind for call in calls for kind in (call.answer, call.body, *call.query) if kind is not None]
    shown, named = msgspec.json.schema_components([*types, Refusal], ref_template=_REFS)
    schemas = dict(zip(map(repr, [*types, Refusal]), shown, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for call in calls:
        paths.setdefault(root + call.path, {})[call.method.lower()] = _operation(call, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mimamori review desk", "version": "1", "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(named.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(call: Call, schemas: dict[str, Any]) -> dict[str, object]:
    made: dict[str, object] = {
        "operationId": call.name,
        "summary": call.says,
        "description": f"Roles: {', '.join(call.roles)}.",
        "parameters": [*_parameters(call)],
        "responses": {
            str(call.status): {"description": "Done", "content": _json(schemas[repr(call.answer)])},
            **({"204": {"description": "No case waits for this person"}} if call.may_be_empty else {}),
            **{status: _refusal(says, schemas) for status, says in _refusals()},
        },
    }
    if call.body is not None:
        made["requestBody"] = {"required": True, "content": _json(schemas[repr(call.body)])}
    return made


def _parameters(call: Call) -> Iterator[dict[str, object]]:
    if "{id}" in call.path:
        yield {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    for kind in call.query:
        (shown,), named = msgspec.json.schema_components([kind], ref_template=_REFS)
        for name, schema in named[shown["$ref"].rpartition("/")[2]]["properties"].items():
            yield {"name": name, "in": "query", "schema": schema}


def _refusals() -> Iterator[tuple[str, str]]:
    """Each status that a step may be refused with, and the first lines of the errors that have it."""
    said: dict[int, list[str]] = {
        401: ["Nobody has this token."],
        429: ["Too many requests: see Retry-After."],
    }
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, DecisionRefusedError) and hasattr(kind, "status"):
            said.setdefault(kind.status, []).append((kind.__doc__ or "").partition("\n")[0])
    for status, lines in sorted(said.items()):
        yield str(status), " ".join(lines)


def _refusal(says: str, schemas: dict[str, Any]) -> dict[str, object]:
    return {"description": says, "content": _json(schemas[repr(Refusal)])}


def _json(schema: Any) -> dict[str, object]:
    return {"application/json": {"schema": schema}}
