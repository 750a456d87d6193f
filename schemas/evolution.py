"""Checks whether readers of one version of a JSON Schema can read what another version describes.

The check knows the keywords that `schemas.generate` writes and refuses all others, so that a new keyword can
never pass unexamined. In one place it is stricter than needed: a union's branches are compared one by one. In
another it is deliberately looser. Objects accept unknown fields, so a strict comparison would forbid every
new optional field, because an old producer *might* have sent something else under that name.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_LOWEST = {"minimum", "minLength"}
_HIGHEST = {"maximum", "maxLength"}
_SAYS_NOTHING = {"$schema", "$id", "$defs", "title", "description", "default"}
_COMPARED = {"$ref", "type", "properties", "required", "additionalProperties", "items", "enum", "anyOf"}
_COMPARED |= {"format", "contentEncoding"} | _LOWEST | _HIGHEST


def unreadable(written: Schema, reader: Schema) -> list[str]:
    """List what a reader of schema `reader` would refuse of the values that `written` describes.

    Returns one line per break, each naming the place and the rule; an empty list means compatible.

    Raises ValueError: a keyword that this check does not know.
    """
    return list(_breaks(_Version(written), written, _Version(reader), reader, "$"))


class _Version:
    """One document, whose references can be resolved."""

    def __init__(self, document: Schema) -> None:
        self._named: Schema = document.get("$defs", {})

    def resolve(self, schema: Schema) -> Schema:
        if unknown := schema.keys() - _SAYS_NOTHING - _COMPARED:
            raise ValueError(
                f"the evolution check does not know {', '.join(sorted(unknown))}: add them to it first"
            )
        if "$ref" not in schema:
            return schema
        return self.resolve(self._named[schema["$ref"].removeprefix("#/$defs/")])


def _breaks(old: _Version, written: Schema, new: _Version, reader: Schema, at: str) -> Iterator[str]:
    written, reader = old.resolve(written), new.resolve(reader)
    if "anyOf" in written or "anyOf" in reader:
        yield from _union_breaks(old, written, new, reader, at)
        return
    if not _reads_type(written.get("type"), reader.get("type")):
        yield f"{at}: type {written.get('type', 'any')} became {reader['type']}"
        return
    yield from _value_breaks(written, reader, at)
    yield from _object_breaks(old, written, new, reader, at)
    if "items" in reader:
        yield from _breaks(old, written.get("items", {}), new, reader["items"], f"{at}[]")


def _union_breaks(old: _Version, written: Schema, new: _Version, reader: Schema, at: str) -> Iterator[str]:
    branches = reader.get("anyOf", [reader])
    for branch in written.get("anyOf", [written]):
        attempts = [list(_breaks(old, branch, new, candidate, at)) for candidate in branches]
        if not any(attempt == [] for attempt in attempts):
            # The union is refused because of the branch that came closest.
            yield min(attempts, key=len)[0]


def _reads_type(written: str | None, reader: str | None) -> bool:
    return reader in {None, written} or (written, reader) == ("integer", "number")


def _value_breaks(written: Schema, reader: Schema, at: str) -> Iterator[str]:
    if "enum" in reader:
        lost = [value for value in written.get("enum", ["any other value"]) if value not in reader["enum"]]
        yield from (f"{at}: {value!r} is no longer among the allowed values" for value in lost)
    for keyword in ("format", "contentEncoding"):
        if keyword in reader and reader[keyword] != written.get(keyword):
            yield f"{at}: {keyword} {reader[keyword]} is now demanded"
    for keyword in sorted(_LOWEST & reader.keys()):
        if keyword not in written or written[keyword] < reader[keyword]:
            yield f"{at}: {keyword} rose to {reader[keyword]}"
    for keyword in sorted(_HIGHEST & reader.keys()):
        if keyword not in written or written[keyword] > reader[keyword]:
            yield f"{at}: {keyword} fell to {reader[keyword]}"


def _object_breaks(old: _Version, written: Schema, new: _Version, reader: Schema, at: str) -> Iterator[str]:
    promised = set(written.get("required", ()))
    for field in sorted(set(reader.get("required", ())) - promised):
        yield f"{at}.{field}: is required, and was not always there"
    known = written.get("properties", {})
    for field, schema in reader.get("properties", {}).items():
        if field in known:
            yield from _breaks(old, known[field], new, schema, f"{at}.{field}")
    rest = reader.get("additionalProperties", True)
    if rest is False:
        yield f"{at}: unknown fields are no longer accepted"
    elif isinstance(rest, dict):
        others = written.get("additionalProperties", True)
        yield from _breaks(old, others if isinstance(others, dict) else {}, new, rest, f"{at}.*")
