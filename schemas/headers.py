"""Kafka headers of an event: CloudEvents 1.0 in binary mode, and the W3C trace that it belongs to.

In binary mode (CloudEvents Kafka protocol binding) the attributes are headers named `ce_…`, and the record's
value is the event itself. A consumer that does not know CloudEvents can ignore them.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec

from schemas.events import Event
from schemas.kinds import KINDS

Headers = list[tuple[str, str | bytes | None]]  # in the form that Kafka clients give and take
Pairs = Sequence[tuple[str, str | bytes | None]]
ContentType = tuple[str, bytes]  # the header

_PLAIN: Final[ContentType] = ("content-type", b"application/json")
# Behind a registry's frame. What only looks for JSON or Avro must not take five bytes of a frame for either.
CONTENT_TYPES: Final[Mapping[str, ContentType]] = {
    form: ("content-type", f"application/vnd.mimamori.framed-{form}".encode()) for form in ("avro", "json")
}

# For each kind: the field that gives `ce_time`, and the headers that all its events share.
_CONSTANT: Final[Mapping[type[Event], tuple[str, Headers]]] = {
    kind.event: (
        kind.time,
        [
            ("ce_specversion", b"1.0"),
            ("ce_type", f"mimamori.{kind.name}".encode()),
            ("ce_source", kind.source.encode()),
            ("ce_dataschema", kind.urn.encode()),
        ],
    )
    for kind in KINDS
}
# https://www.w3.org/TR/trace-context/#traceparent-header: version ff and zero ids are not valid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)
# …/#tracestate-header: members `key=value` of printable ASCII, separated by commas. Each is matched by
# itself, as one expression for all of them could be made to backtrack for ever.
_KEY = "[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_MEMBER = re.compile(_KEY + r"=[ -+\--<>-~]{0,255}[!-+\--<>-~]", re.ASCII)
_MOST_MEMBERS: Final = 32
_LENGTH: Final = 55  # characters of a traceparent
_LONGEST_STATE: Final = 512  # characters, as many as everybody must take


class Trace(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A place in a trace (W3C Trace Context): what caused an event, in the words of the two headers.

    `parent` is a well-formed `traceparent`, `state` a well-formed `tracestate` or None.
    """

    parent: str
    state: str | None = None

    @property
    def sampled(self) -> bool:
        """Whether whoever began the trace wants it to be recorded."""
        return self.parent[54] in "13579bdf"


def event_headers(event: Event, trace: Trace | None = None, content_type: ContentType = _PLAIN) -> Headers:
    """Return the headers of a record that carries `event`, which `trace` has caused.

    A message without `sent_at` has no `ce_time`.
    """
    time_field, constant = _CONSTANT[type(event)]
    headers: Headers = [("ce_id", event.id.encode()), *constant, content_type]
    time = getattr(event, time_field)
    if time is not None:
        headers.append(_ce_time(time))
    if trace is not None:
        headers.append(("traceparent", trace.parent.encode()))
        if trace.state is not None:
            headers.append(("tracestate", trace.state.encode()))
    return headers


@lru_cache(maxsize=64)
def _ce_time(time: datetime) -> tuple[str, bytes]:
    """The time as a header. It is cached, because all outcomes of a batch have the same time."""
    return "ce_time", time.isoformat().encode()


def find_trace(headers: Pairs | None) -> Trace | None:
    """Return the trace that a consumed record belongs to, or None where it names no well-formed one.

    What is malformed is dropped, as the standard asks: of a malformed `traceparent` both headers, of a
    malformed `tracestate` that one alone. They are copied to every outcome, and no header may carry text to
    places where text must not go. Nothing that a producer can write raises here.
    """
    parent = state = None
    for name, value in headers or ():
        if name == "traceparent":
            parent = parent or value
        elif name == "tracestate":
            state = state or value
    if parent is None or len(parent) != _LENGTH or not _TRACEPARENT.fullmatch(said := _text(parent)):
        return None
    return Trace(said) if state is None else Trace(said, _well_formed(_text(state)))


def names_a_trace(headers: Pairs | None) -> bool:
    """Whether a record has a `traceparent`, well-formed or not."""
    return any(name == "traceparent" for name, _ in headers or ())


def _well_formed(state: str) -> str | None:
    if len(state) > _LONGEST_STATE:
        return None
    members = [member.strip(" \t") for member in state.split(",")]
    if len(members) > _MOST_MEMBERS or not any(members):
        return None
    return state if all(not member or _MEMBER.fullmatch(member) for member in members) else None


def _text(value: str | bytes) -> str:
    # What is no ASCII becomes a character that no expression here takes.
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
