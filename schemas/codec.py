"""Converts events to bytes and back: JSON in UTF-8 (RFC 8259).

    bytes ──UTF-8?──► text ──JSON?──► value ──schema?──► event
        InvalidUtf8       InvalidJson     SchemaMismatch          all three are a CodecError

An error's detail names the field, the rule or the byte that is wrong. It never quotes the input, which may be
someone's message, and neither does the error's `__context__`.

Decoding is deliberately lenient in two ways: unknown fields are skipped, and of a repeated key the last one
counts, as in most parsers. It is deliberately strict in others: it refuses a byte order mark, NaN, a lone
surrogate in a text that it keeps, and anything after the value. `encode` does not validate its event.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from schemas.events import Event
from schemas.kinds import KINDS
from schemas.reasons import DeadLetterReason

E = TypeVar("E", bound=Event)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ENCODER: Final = msgspec.json.Encoder()
# Each decoder is made once, because making one costs more than using it. The value's type is Any, because no
# type can tie a mapping's values to its keys here.
_DECODERS: Final[Mapping[type[Any], msgspec.json.Decoder[Any]]] = {
    kind.event: msgspec.json.Decoder(kind.event) for kind in KINDS
}

# Only msgspec messages of these forms are passed on, because they contain nothing but names and numbers of
# the schema. The message for a wrong enum value is not among them: it quotes that value.
_RULE = re.compile(
    r"Expected `[a-z |]+`, got `[a-z]+`"
    r"|Expected `[a-z]+` (of length )?[<>]=? -?[0-9.]+"
    r"|Expected `datetime` with a timezone component"
    r"|Object missing required field `[a-z_]+`"
    r"|Invalid RFC3339 encoded datetime"
    r"|Invalid base64 encoded string"
    r"|Integer value out of range"
)
_PLACE = re.compile(r"[$]([.][a-z_]+|\[[0-9]+\]|\[\.\.\.\])*")
_SYNTAX = re.compile(r"JSON is malformed: [a-z0-9 -]+ \(byte [0-9]+\)|Input data was truncated")


class CodecError(ValueError):
    """The bytes are not such an event. `detail` says what is wrong without the text; `reason` is its code."""

    reason: ClassVar[DeadLetterReason]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidUtf8(CodecError):  # noqa: N818 - named for the step that failed
    """The bytes are not UTF-8, or an event to be written holds text that UTF-8 cannot encode."""

    reason = "invalid_utf8"


class InvalidJson(CodecError):  # noqa: N818 - as above
    """The text is not JSON, or is nested too deeply."""

    reason = "invalid_json"


class SchemaMismatch(CodecError):  # noqa: N818 - as above
    """The JSON is well formed but breaks the schema."""

    reason = "schema_mismatch"


def encode(event: Event) -> bytes:
    """Encode an event as compact JSON, with the fields in the order of its struct.

    Raises InvalidUtf8: a field holds a lone surrogate, which a JSON escape can smuggle into a str.
    """
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError:
        refusal = InvalidUtf8(f"a field of the {type(event).__name__} holds a lone surrogate")
    raise refusal


def decode(kind: type[E], content: bytes) -> E:
    """Decode one event of a kind: `decode(Message, value)`. The caller decides about a null value (None).

    Raises InvalidUtf8, InvalidJson or SchemaMismatch, checked in this order.
    """
    refusal: CodecError
    try:
        if not content.isascii():
            str(content, "utf-8")  # msgspec checks only the fields that it keeps
        event: E = _DECODERS[kind].decode(content)
    except UnicodeDecodeError as error:
        refusal = InvalidUtf8(f"not UTF-8 at byte {error.start}")
    except msgspec.ValidationError as error:
        refusal = SchemaMismatch(_broken_rule(str(error)))
    except msgspec.DecodeError as error:
        refusal = InvalidJson(_broken_syntax(str(error), content))
    except RecursionError:
        refusal = InvalidJson("nested too deeply")
    else:
        return event
    # This is raised outside of every `except`, because the original error holds the input, and would be
    # attached.
    raise refusal


def convert(kind: type[E], values: Mapping[str, Any]) -> E:
    """Make one event of what another format was decoded to. Raises SchemaMismatch, as `decode` does."""
    try:
        event: E = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        refusal = SchemaMismatch(_broken_rule(str(error)))
    else:
        return event
    raise refusal


def _broken_rule(message: str) -> str:
    rule, _, place = message.rpartition(" - at `")
    if not rule:
        rule, place = message, "$`"
    field = place.removesuffix("`")
    if not _PLACE.fullmatch(field):
        field = "a field"
    if rule.startswith("Invalid enum value"):
        return f"{field}: not one of the allowed values"
    if not _RULE.fullmatch(rule):
        return f"{field}: does not fit the schema"
    return f"{field}: {rule[0].lower()}{rule[1:]}"


def _broken_syntax(message: str, content: bytes) -> str:
    if content.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte order mark: write UTF-8 without one"
    if not content.strip():
        return "empty value"
    if not _SYNTAX.fullmatch(message):
        return "malformed"
    return "ends too early" if message.startswith("Input") else message.removeprefix("JSON is malformed: ")
