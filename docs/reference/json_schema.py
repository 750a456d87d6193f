"""Describes in words what a JSON Schema allows."""

from collections.abc import Mapping
from typing import Any, Final

from docs.reference.markdown import code

Shape = Mapping[str, Any]

BOUNDS: Final = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
}
PLAIN: Final = {"integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
TEXTS: Final = {
    "date-time": "time (RFC 3339, with its offset)",
    "path": "path",
    "file-path": "path of a file",
    "password": "text, never shown",
}


def in_words(shape: Shape, schema: Shape) -> str:
    """Describe the values that a field allows. The shape's references point into the document `schema`.

    Raises ValueError: this module has no words for the type.
    """
    shape = resolved(shape, schema)
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(in_words(one, schema) for one in shape["anyOf"]))
    if values := choices(shape):
        return ", ".join(map(code, values))
    match shape.get("type"):
        case "array":
            words = f"list of {in_words(shape['items'], schema)}"
        case "object":
            words = _object(shape, schema)
        case "string":
            words = _text(shape)
        case "integer" | "number" | "boolean" | "null" as kind:
            words = PLAIN[kind] + _bounds(shape)
        case other:
            raise ValueError(f"no words for the JSON Schema type {other}: add them here")
    return words


def choices(shape: Shape) -> list[str]:
    """Return the allowed values if the shape lists them, else an empty list."""
    return [str(value) for value in shape.get("enum", [shape["const"]] if "const" in shape else [])]


def resolved(shape: Shape, schema: Shape) -> Shape:
    """Return the shape that a reference points to, or the shape itself if it is no reference."""
    if "$ref" not in shape:
        return shape
    found: Shape = schema["$defs"][shape["$ref"].rpartition("/")[2]]
    return found


def _object(shape: Shape, schema: Shape) -> str:
    values = shape.get("additionalProperties")
    if "properties" in shape or not isinstance(values, dict):
        return "object"
    return f"object of names to {in_words(values, schema)}"


def _text(shape: Shape) -> str:
    if "contentEncoding" in shape:
        return f"{shape['contentEncoding']} text"
    if "maxLength" in shape:
        return f"text of {shape.get('minLength', 0)} to {shape['maxLength']} characters"
    return TEXTS.get(shape.get("format", ""), "text")


def _bounds(shape: Shape) -> str:
    return "".join(f" {word} {shape[bound]:g}" for bound, word in BOUNDS.items() if bound in shape)
