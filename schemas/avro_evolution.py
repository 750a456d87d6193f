"""Checks whether readers with one of our Avro schemas can read what was written with another one.

These are Avro's rules of schema resolution, for the types that `schemas/avro.py` makes. It refuses others, so
that a new type can never pass unexamined. It is stricter than Avro in one place: what a long holds it does
not let become a double.
"""

from collections.abc import Iterator
from typing import Any, Final

_PLAIN: Final = {"null", "boolean", "long", "double", "bytes", "string"}


def unreadable_avro(written: Any, reader: Any) -> list[str]:
    """List what a reader with schema `reader` could not read of values of `written`, each by place and rule.

    An empty list means compatible. Raises ValueError: a type that this check does not know.
    """
    return list(_breaks(written, _named(written), reader, _named(reader), "$"))


def _breaks(
    written: Any, theirs: dict[str, Any], reader: Any, ours: dict[str, Any], at: str
) -> Iterator[str]:
    written, reader = _looked_up(written, theirs), _looked_up(reader, ours)
    if isinstance(written, list):
        for branch in written:
            yield from _breaks(branch, theirs, reader, ours, at)
        return
    if isinstance(reader, list):
        # Of a kind a union has one branch at most, here as in Avro.
        alike = [branch for branch in reader if _kind(_looked_up(branch, ours)) == _kind(written)]
        if not alike:
            yield f"{at}: {_kind(written)} is not in the union"
        for branch in alike:
            yield from _breaks(written, theirs, branch, ours, at)
        return
    if _kind(written) != _kind(reader):
        yield f"{at}: {_kind(written)} became {_kind(reader)}"
    elif _kind(reader) == "record":
        yield from _record_breaks(written, theirs, reader, ours, at)
    elif _kind(reader) == "array":
        yield from _breaks(written["items"], theirs, reader["items"], ours, f"{at}[]")
    elif _kind(reader) == "map":
        yield from _breaks(written["values"], theirs, reader["values"], ours, f"{at}.*")


def _record_breaks(
    written: dict[str, Any], theirs: dict[str, Any], reader: dict[str, Any], ours: dict[str, Any], at: str
) -> Iterator[str]:
    if written["name"] != reader["name"]:
        yield f"{at}: record {written['name']} became {reader['name']}"
        return
    known = {field["name"]: field["type"] for field in written["fields"]}
    for field in reader["fields"]:
        if field["name"] in known:
            yield from _breaks(known[field["name"]], theirs, field["type"], ours, f"{at}.{field['name']}")
        elif "default" not in field:
            yield f"{at}.{field['name']}: has no default, and was not always there"


def _named(schema: Any) -> dict[str, Any]:
    """The records that a schema defines."""
    found: dict[str, Any] = {}
    for node in schema if isinstance(schema, list) else [schema]:
        if isinstance(node, dict):
            inner = [field["type"] for field in node.get("fields", ())]
            inner += [node[name] for name in ("items", "values") if name in node]
            found |= {node["name"]: node} if node["type"] == "record" else {}
            for each in inner:
                found |= _named(each)
    return found


def _looked_up(node: Any, named: dict[str, Any]) -> Any:
    return named.get(node, node) if isinstance(node, str) else node


def _kind(node: Any) -> str:
    """A type's kind, with what else decides whether it can be read."""
    if isinstance(node, str) and node in _PLAIN:
        return node
    if isinstance(node, dict) and node["type"] in {"record", "array", "map"}:
        return str(node["type"])
    if isinstance(node, dict) and node["type"] in _PLAIN and "logicalType" in node:
        return f"{node['type']} ({node['logicalType']})"
    raise ValueError(f"the evolution check does not know the Avro type {node}: add it to it first")
