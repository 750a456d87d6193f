"""Checks a writer's Avro schema before anything is read with it, as a schema is its author's claim.

Every value must take at least one byte, nothing may hold itself, and depth and size are bounded. So the work
for a record is bounded by its bytes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from schemas.events import Message

MOST_NODES: Final = 4_000  # of all documents of a schema
MOST_DEEP: Final = 48
NEEDED: Final = ("id", "text")

_TIMES: Final = {"timestamp-millis", "timestamp-micros"}
_LEAVES: Final = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
_NAMED: Final = {"record", "error", "enum", "fixed", "array", "map"}
# What fastavro takes for a kind of type wherever a type is named: a type of that name is read as another.
_TAKEN: Final = _LEAVES | _NAMED | {"union", "error_union", "request"}
_OURS: Final = tuple(field.encode_name for field in msgspec.structs.fields(Message))

Schema = Any  # as in JSON: a name, a list for a union, an object


class UnusableSchemaError(ValueError):
    """Messages cannot be read with this schema. It says why, in words that quote nothing of the schema."""


class Wanted(NamedTuple):
    """A field of ours: its name, the writer's name, and the writer's type."""

    ours: str
    theirs: str
    type: Schema


def cleaned(node: Any, budget: Iterator[int], depth: int = 0) -> Schema:
    """The same schema with what reading needs alone, since nothing else of it is to be trusted.

    `budget` has an item for each type that may follow. Raises UnusableSchemaError: it is too large.
    """
    _require_depth(depth)
    if next(budget, None) is None:
        raise UnusableSchemaError(f"has more than {MOST_NODES} types")
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        return [cleaned(branch, budget, depth + 1) for branch in node]
    kind = node["type"]
    if not isinstance(kind, str) or kind not in _NAMED:
        inner = cleaned(kind, budget, depth + 1)  # {"type": "string"} is "string"
        return {"type": inner, "logicalType": node["logicalType"]} if _is_time(node) else inner
    made: dict[str, Any] = {"type": "record" if kind == "error" else kind}
    made |= {name: node[name] for name in ("name", "namespace", "symbols", "size") if name in node}
    made |= {name: cleaned(node[name], budget, depth + 1) for name in ("items", "values") if name in node}
    if "fields" in node:
        made["fields"] = [
            {
                "name": field["name"],
                "aliases": field.get("aliases", []),
                "type": cleaned(field["type"], budget, depth + 1),
            }
            for field in node["fields"]
        ]
    return made


def require_bounded(record: Schema, named: Mapping[str, Schema]) -> None:
    """Raise UnusableSchemaError where work with a parsed schema would not be bounded by a record's bytes."""
    if not (isinstance(record, dict) and record["type"] == "record"):
        raise UnusableSchemaError("is no record")
    if not _TAKEN.isdisjoint(named):
        raise UnusableSchemaError("has a named type with the name of one of Avro's own")
    _depth(record, (), named, {})


def wanted(record: Schema, named: Mapping[str, Schema]) -> Iterator[Wanted]:
    """The fields of a message that the schema has. Raises UnusableSchemaError: one lacks, or cannot be read.

    A field is found by its name, or else by an alias that the writer gave it.
    """
    for ours in _OURS:
        by_name = [field for field in record["fields"] if field["name"] == ours]
        by_alias = [field for field in record["fields"] if ours in field["aliases"]]
        field = next(iter(by_name or by_alias), None)
        if field is not None:
            yield Wanted(ours, field["name"], _supported(ours, field["type"], named))
        elif ours in NEEDED:
            raise UnusableSchemaError(f"has no field {ours}, nor one with that alias")


def is_plain(node: Schema) -> bool:
    """Whether a value of this type is one object, and not much larger than its bytes."""
    return all(
        branch in _LEAVES if isinstance(branch, str) else branch["type"] in _LEAVES
        for branch in _branches(node)
    )


def _depth(node: Schema, within: tuple[str, ...], named: Mapping[str, Schema], known: dict[str, int]) -> int:
    """How deep a type is. One that is named in many places is looked at once, and then `known`."""
    if node == "null":
        raise UnusableSchemaError("has a null outside of a union")
    if isinstance(node, str) and node in _LEAVES:
        return 0
    name = node if isinstance(node, str) else node.get("name") if isinstance(node, dict) else None
    if within and isinstance(node, dict) and name is not None and named[name] is not node:
        raise UnusableSchemaError("has two types of one name")
    if name in within:
        raise UnusableSchemaError("holds itself, which is not supported")
    if name in known:
        return known[name]
    inside = within if name is None else (*within, name)
    parts = _parts(named[node] if isinstance(node, str) else node)
    depth = 1 + max((_depth(part, inside, named, known) for part in parts), default=0)
    _require_depth(depth)
    if name is not None:
        known[name] = depth
    return depth


def _parts(node: Schema) -> list[Schema]:
    if isinstance(node, list):
        return [branch for branch in node if branch != "null"]
    if node["type"] == "record":
        if not node["fields"]:
            raise UnusableSchemaError("has a record without fields")
        return [field["type"] for field in node["fields"]]
    if node["type"] == "fixed" and not (type(node["size"]) is int and 0 < node["size"] < 1 << 31):
        raise UnusableSchemaError("has a fixed type of no size")
    inner = {"array": "items", "map": "values", "enum": "", "fixed": ""}.get(node["type"], "type")
    return [node[inner]] if inner else []


def _require_depth(depth: int) -> None:
    if depth > MOST_DEEP:
        raise UnusableSchemaError(f"is nested more than {MOST_DEEP} deep")


def _supported(ours: str, node: Schema, named: Mapping[str, Schema]) -> Schema:
    """The type, where it can hold what the field of ours needs. Raises UnusableSchemaError."""
    branches = [named.get(each, each) if isinstance(each, str) else each for each in _branches(node)]
    for branch in branches:
        time = isinstance(branch, dict) and _is_time(branch)
        text = branch == "string" or (isinstance(branch, dict) and branch["type"] == "enum")
        if branch != "null" and not (time if ours == "sent_at" else text):
            needs = "timestamp-millis or timestamp-micros" if ours == "sent_at" else "string"
            raise UnusableSchemaError(f"has a field {ours} of another type than {needs} or null")
    return branches if isinstance(node, list) else branches[0]


def _branches(node: Schema) -> list[Schema]:
    return node if isinstance(node, list) else [node]


def _is_time(node: Mapping[str, Any]) -> bool:
    return node["type"] == "long" and node.get("logicalType") in _TIMES
