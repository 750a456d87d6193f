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
# Well-formed headers that name a trace, `traceparent` first; empty where there is none.
Cause = Sequence[tuple[str, bytes]]
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
_is_traceparent: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
).fullmatch
# …/#tracestate-header: members `key=value` of printable ASCII, separated by commas. Each is matched by
# itself, as one expression for all of them could be made to backtrack for ever.
_KEY = rb"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_MEMBER = re.compile(_KEY + rb"=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_MOST_MEMBERS: Final = 32
_LONGEST_STATE: Final = 512  # characters, as many as everybody must take
_SAMPLED: Final = b"13579bdf"  # last characters of a traceparent whose last bit is set


class Trace(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A place in a trace (W3C Trace Context): what caused an event, in the words of the two headers.

    `parent` is a well-formed `traceparent`, `state` a well-formed `tracestate` or None.
    """

    parent: str
    state: str | None = None

    @property
    def headers(self) -> Cause:
        """The headers that name it, as `event_headers` takes them."""
        parent = "traceparent", self.parent.encode()
        return (parent,) if self.state is None else (parent, ("tracestate", self.state.encode()))

    @property
    def sampled(self) -> bool:
        """Whether whoever began the trace wants it to be recorded."""
        return is_sampled(self.headers)


def event_headers(event: Event, cause: Pairs = (), content_type: ContentType = _PLAIN) -> Headers:
    """Return the headers of a record that carries `event`, with those that name the trace that caused it.

    A message without `sent_at` has no `ce_time`.
    """
    time_field, constant = _CONSTANT[type(event)]
    time = getattr(event, time_field)
    if time is None:
        return [("ce_id", event.id.encode()), *constant, content_type, *cause]
    return [("ce_id", event.id.encode()), *constant, content_type, _ce_time(time), *cause]


@lru_cache(maxsize=64)
def _ce_time(time: datetime) -> tuple[str, bytes]:
    """The time as a header. It is cached, because all outcomes of a batch have the same time."""
    return "ce_time", time.isoformat().encode()


def trace_headers(headers: Pairs | None) -> Cause:
    """Return those headers of a consumed record that name the trace it belongs to; none if none is named.

    Whatever the record causes carries them on as they are: a worker does that for every message, and takes
    the trace apart (`find_trace`) only for the few that get a span.

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
    if isinstance(parent, str):
        parent = _bytes(parent)
    if parent is None or not _is_traceparent(parent):
        return ()
    if state is None or not _is_tracestate(said := _bytes(state)):
        return (("traceparent", parent),)
    return ("traceparent", parent), ("tracestate", said)


def find_trace(headers: Pairs | None) -> Trace | None:
    """Return the trace that a consumed record belongs to, or None: see `trace_headers`."""
    named = [value.decode() for _, value in trace_headers(headers)]
    return Trace(*named) if named else None


def is_sampled(cause: Cause) -> bool:
    """Whether there is a trace, and whoever began it wants it to be recorded."""
    return bool(cause) and cause[0][1][-1] in _SAMPLED


def names_a_trace(headers: Pairs | None) -> bool:
    """Whether a record has a `traceparent`, well-formed or not."""
    return any(name == "traceparent" for name, _ in headers or ())


def _is_tracestate(state: bytes) -> bool:
    if len(state) > _LONGEST_STATE:
        return False
    members = [member.strip(b" \t") for member in state.split(b",")]
    if len(members) > _MOST_MEMBERS or not any(members):
        return False
    return all(not member or _MEMBER.fullmatch(member) for member in members)


def _bytes(value: str | bytes) -> bytes:
    # What is no ASCII becomes bytes that no expression here takes.
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
