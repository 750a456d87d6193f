"""The Avro schemas of events, made from their structs, for platforms with a schema registry.

    str, one of some words    string          words may be added, and an Avro enum would stop older readers
    int, float, bool, bytes   long, double, boolean, bytes
    datetime                  timestamp-micros
    X | None                  a union of null and X; null is its default where the struct has one
    list[X], dict[str, X]     array, map
    a struct                  a record of its name, in the namespace `mimamori`

Avro knows no limits: those of the structs hold all the same, and are checked after decoding.
"""

import inspect
from typing import Any, Final

import msgspec
from msgspec import inspect as types

from schemas.kinds import KINDS, Kind

NAMESPACE: Final = "mimamori"
# What may travel behind a registry's frame, as Avro or JSON.
FRAMED: Final = tuple(kind for kind in KINDS if kind.name in {"message", "label"})

_PLAIN: Final[dict[type[types.Type], Any]] = {
    types.StrType: "string",
    types.LiteralType: "string",
    types.IntType: "long",
    types.FloatType: "double",
    types.BoolType: "boolean",
    types.BytesType: "bytes",
    types.NoneType: "null",
}


def avro_schema(kind: Kind) -> dict[str, Any]:
    """The Avro schema of one kind of event, as one self-contained document."""
    schema: dict[str, Any] = _type(types.type_info(kind.event), set())
    return {**schema, "namespace": NAMESPACE}


def _type(node: types.Type, named: set[str]) -> Any:
    if type(node) in _PLAIN:
        return _PLAIN[type(node)]
    match node:
        case types.DateTimeType():
            return {"type": "long", "logicalType": "timestamp-micros"}
        case types.UnionType():
            # Null comes first, since a union's default must be of its first type.
            parts = sorted(node.types, key=lambda part: not isinstance(part, types.NoneType))
            return [_type(part, named) for part in parts]
        case types.ListType():
            return {"type": "array", "items": _type(node.item_type, named)}
        case types.DictType():
            return {"type": "map", "values": _type(node.value_type, named)}
        case types.StructType():
            return _record(node, named)
        case _:
            raise TypeError(f"{type(node).__name__} has no Avro type here: add it to schemas/avro.py")


def _record(node: types.StructType, named: set[str]) -> Any:
    name = node.cls.__name__
    if name in named:  # a type is defined once, and named from then on
        return name
    named.add(name)
    return {
        "type": "record",
        "name": name,
        "doc": inspect.cleandoc(node.cls.__doc__ or ""),
        "fields": [_field(field, named) for field in node.fields],
    }


def _field(field: types.Field, named: set[str]) -> dict[str, Any]:
    made = {"name": field.encode_name, "type": _type(field.type, named)}
    if field.default is not msgspec.NODEFAULT:
        if isinstance(made["type"], list) and field.default is not None:
            # fastavro takes it, and registries do not: it would be frozen before anybody noticed.
            raise TypeError(f"{field.name} may be null, and its default is not: Avro has no word for that")
        return {**made, "default": field.default}
    if field.default_factory is not msgspec.NODEFAULT:
        return {**made, "default": field.default_factory()}
    return made
