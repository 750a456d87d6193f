r"""Events to bytes and back: JSON in UTF-8 (RFC 8259).

    bytes ──UTF-8?──► text ──JSON?──► value ──schema?──► event
        InvalidUtf8       InvalidJson     SchemaMismatch          all three are a CodecError

An error's detail names the field, the rule or the byte that is wrong and never quotes the input, which
may be someone's message: neither in its text nor through `__context__`.

Lenient on purpose: fields that are not known are skipped, and of a key given twice the last one counts,
as in most parsers. Strict on purpose: a byte order mark, NaN, a lone surrogate where text is read, and
anything after the value are refused. `encode` does not validate: an event is only as good as its maker.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from schemas.events import Event
from schemas.kinds import KINDS
from schemas.vocabulary import DeadLetterReason

E = TypeVar("E", bound=Event)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ENCODER: Final = msgspec.json.Encoder()
# Making a decoder costs more than using it: each is made once. Any: a type cannot tie key to value here.
_DECODERS: Final[Mapping[type[Any], msgspec.json.Decoder[Any]]] = {
    kind.event: msgspec.json.Decoder(kind.event) for kind in KINDS
}

# Of msgspec's messages only these shapes pass, for they hold names and numbers of the schema alone.
# Its message for a wrong enum value quotes that value.
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
    """Bytes that are no such event. `detail` names what is wrong, never the text; `reason` is its code."""

    reason: ClassVar[DeadLetterReason]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidUtf8(CodecError):  # noqa: N818 - named for the step that failed
    """The bytes are not UTF-8, or an event to be written holds text that UTF-8 cannot carry."""

    reason = "invalid_utf8"


class InvalidJson(CodecError):  # noqa: N818 - as above
    """The text is not JSON, or nested deeper than is ever meant."""

    reason = "invalid_json"


class SchemaMismatch(CodecError):  # noqa: N818 - as above
    """The JSON is well formed and breaks the schema."""

    reason = "schema_mismatch"


def encode(event: Event) -> bytes:
    """One event as compact JSON, fields in the order of its struct.

    Raises InvalidUtf8: a field holds a lone surrogate, which a JSON escape can smuggle into a str.
    """
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError:
        refusal = InvalidUtf8(f"a field of the {type(event).__name__} holds a lone surrogate")
    raise refusal


def decode(kind: type[E], content: bytes) -> E:
    """One event of a kind: `decode(Message, value)`. A null value (None) is the caller's to judge.

    Raises InvalidUtf8, InvalidJson or SchemaMismatch, checked in this order.
    """
    refusal: CodecError
    try:
        if not content.isascii():
            str(content, "utf-8")  # msgspec checks only the fields it keeps
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
    # Raised out here, where no `except` is active: the cause holds the input and must not travel along.
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
