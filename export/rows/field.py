"""Converts values to the fields of an event or an example. An error never quotes a wrong value."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from export.rows.row import Row, refuse

T = TypeVar("T", bound=msgspec.Struct)

TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
REMEDIES = {
    "at_risk": "label the row with true or false (yes, no, 1 and 0 are read too), or leave it out",
    "sent_at": "write RFC 3339 with its offset, as in 2026-03-14T22:41:07Z",
}


def typed_rows(
    path: Path,
    rows: Iterable[Row],
    kind: type[T],
    *,
    stem: str | None = None,
    check: Callable[[T], str | None] = lambda _: None,
) -> Iterator[T]:
    """Yield each row as `kind`. If `stem` is given, a row without an id gets `stem` and its number.

    `check` returns what else is wrong with a converted row, or None.

    Raises TaskError naming row, field and remedy.
    """
    wanted = {field.name for field in msgspec.structs.fields(kind) if field.required} - {"id"}
    for row in rows:
        try:
            values = {
                name: _value(name, given) for name, given in row.values.items() if given not in (None, "")
            }
            _complete(values, row.values, wanted)
            if stem is not None:
                values.setdefault("id", f"{stem[:200]}-{row.number}")
            made = msgspec.convert(values, kind)
        except _WrongFieldError as error:
            raise refuse(path, str(error), row.place) from None
        except msgspec.ValidationError as error:
            raise refuse(path, _rule(str(error)), row.place) from None
        if wrong := check(made):
            raise refuse(path, wrong, row.place)
        yield made


class _WrongFieldError(ValueError):
    """A field is wrong. The caller adds the row to the message."""


def _complete(values: dict[str, Any], given: Mapping[str, Any], wanted: set[str]) -> None:
    for name in sorted(wanted - values.keys()):
        empty = "is empty" if name in given else "is missing"
        raise _WrongFieldError(f"`{name}` {empty}: {REMEDIES.get(name, 'fill it in, or leave the row out')}")
    if not values["text"].strip():
        raise _WrongFieldError("`text` is nothing but whitespace: fill it in, or leave the row out")


def _value(name: str, given: Any) -> Any:
    """Convert a cell to its field's type: a number given as an id becomes text, "yes" becomes true."""
    if name == "at_risk":
        truth = given if isinstance(given, bool) else TRUTH.get(str(given).strip().casefold())
        if truth is None:
            raise _WrongFieldError(f"`at_risk` is neither true nor false: {REMEDIES[name]}")
        return truth
    if isinstance(given, str):
        return given
    is_id = name == "id" or name.endswith("_id")
    if is_id and isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if is_id and isinstance(given, float):
        # 1e20 or 12345678901234567.0 may have lost digits before it got here.
        raise _WrongFieldError(
            f"`{name}` is a number with a fraction or an exponent: write it as text, in quotes"
        )
    raise _WrongFieldError(f"`{name}` is {_kind(given)}: write it as text, in quotes")


def _kind(given: Any) -> str:
    match given:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list() | dict():
            return "a list or an object"
        case _:
            return f"of the type {type(given).__name__}"


def _rule(error: str) -> str:
    """Say which field breaks its rule. Only the lengths and the time are left to check."""
    found = re.search(r" - at `\$\.(\w+)`$", error)
    # msgspec's message is not about one of our fields, and might quote a value.
    if found is None:
        return "does not fit: docs/how-to/send-a-file.md shows the fields"
    if found[1] == "sent_at":
        return f"`sent_at` is not a time with an offset: {REMEDIES['sent_at']}"
    return f"`{found[1]}` is longer than 256 characters: shorten it"
