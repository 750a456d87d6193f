"""Finds the files that an ONNX graph reads beside itself, without loading it.

An ONNX file refers to its weights by path, and a device library opens any path that stands there. So the
paths are first read here, from the protobuf's bytes alone, and a bundle is refused if one of them is not in
its bundle.json. Every place that can hold a tensor is visited: initialisers, attributes of nodes, graphs in
attributes (`If`, `Loop`), sparse tensors and functions.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from engine.errors import BundleError

_DEEPEST: Final = 32  # levels of messages inside messages; an exported graph has 5

# For each message type of onnx.proto that may hold a tensor: field number -> what the field holds. The file
# format fixes these numbers, and they never change.
_FIELDS: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
}
_GRAPH: Final = 7
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class External(NamedTuple):
    """Where a tensor's bytes are. `end` is the offset after the last byte, 0 where the graph does not say."""

    file: str
    end: int


class _BrokenError(Exception):
    """The bytes are not the protobuf of a graph."""


def external_files(model: Path) -> dict[str, int]:
    """Return the files that the graph refers to, and how many bytes each must have.

    Raises BundleError: it is not an ONNX graph, or is nested more deeply than any export.
    """
    try:
        return _files(memoryview(model.read_bytes()))
    except OSError as error:
        raise BundleError(f"cannot read {model}: {error.strerror}; build or copy the bundle again") from None
    except _BrokenError:
        raise BundleError(f"{model} is not an ONNX graph: build or copy the bundle again") from None


def _files(view: memoryview) -> dict[str, int]:
    if not any(number == _GRAPH for number, _ in _messages(view)):
        raise _BrokenError
    found: dict[str, int] = {}
    for external in _walk(view, "model", _DEEPEST):
        found[external.file] = max(found.get(external.file, 0), external.end)
    return found


def _walk(view: memoryview, kind: str, depth: int) -> Iterator[External]:
    if not depth:
        raise _BrokenError
    entries: dict[str, str] = {}
    for number, content in _messages(view):
        inner = _FIELDS[kind].get(number)
        if inner == "external":
            key, value = _entry(content)
            # Of two locations for one tensor, this check might see one and the device library open the other.
            if key in entries:
                raise _BrokenError
            entries[key] = value
        elif inner is not None:
            yield from _walk(content, inner, depth - 1)
    if entries:
        numbers = [entries.get(name, "0") for name in ("offset", "length")]
        if not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):  # noqa: PLR2004 - of 64 bits
            raise _BrokenError
        yield External(entries.get("location", ""), sum(map(int, numbers)))


def _entry(view: memoryview) -> tuple[str, str]:
    entry = {number: bytes(content).decode(errors="replace") for number, content in _messages(view)}
    return entry.get(_KEY, ""), entry.get(_VALUE, "")


def _messages(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that are length-delimited; other fields cannot hold a tensor."""
    at = 0
    while at < len(view):
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == _BYTES:
            length, at = _varint(view, at)
            if length > len(view) - at:
                raise _BrokenError
            yield tag >> 3, view[at : at + length]
            at += length
        elif kind == _VARINT:
            _, at = _varint(view, at)
        elif kind in {_FIXED32, _FIXED64}:
            at += 4 if kind == _FIXED32 else 8
            if at > len(view):
                raise _BrokenError
        else:
            raise _BrokenError


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            break
        byte = view[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            return number, at
    raise _BrokenError
