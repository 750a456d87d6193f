"""Kafka headers of an event: CloudEvents 1.0 in binary mode, and the W3C trace that it belongs to.

In binary mode (CloudEvents Kafka protocol binding) the attributes are headers named `ce_…`, and the record's
value is the event itself. A consumer that does not know CloudEvents can ignore them.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from schemas.events import Event
from schemas.kinds import KINDS

Headers = list[tuple[str, str | bytes | None]]  # in the form that Kafka clients give and take

# For each kind: the field that gives `ce_time`, and the headers that all its events share.
_CONSTANT: Final[Mapping[type[Event], tuple[str, Headers]]] = {
    kind.event: (
        kind.time,
        [
            ("ce_specversion", b"1.0"),
            ("ce_type", f"mimamori.{kind.name}".encode()),
            ("ce_source", kind.source.encode()),
            ("ce_dataschema", kind.urn.encode()),
            ("content-type", b"application/json"),
        ],
    )
    for kind in KINDS
}
# https://www.w3.org/TR/trace-context/#traceparent-header: version ff and zero ids are not valid.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def event_headers(event: Event, traceparent: bytes | None = None) -> Headers:
    """Return the headers of a record that carries `event`; `traceparent` is one from `find_traceparent`.

    A message without `sent_at` has no `ce_time`.
    """
    time_field, constant = _CONSTANT[type(event)]
    headers: Headers = [("ce_id", event.id.encode()), *constant]
    time = getattr(event, time_field)
    if time is not None:
        headers.append(_ce_time(time))
    if traceparent is not None:
        headers.append(("traceparent", traceparent))
    return headers


@lru_cache(maxsize=64)
def _ce_time(time: datetime) -> tuple[str, bytes]:
    """The time as a header. It is cached, because all outcomes of a batch have the same time."""
    return "ce_time", time.isoformat().encode()


def find_traceparent(headers: Sequence[tuple[str, str | bytes | None]] | None) -> bytes | None:
    """Return the trace that a consumed record belongs to, or None where it names no well-formed one.

    A malformed value is dropped, as the standard asks. It would be copied to every outcome, and no header may
    carry text to places where text must not go.
    """
    for name, value in headers or ():
        if name == "traceparent" and value is not None:
            content = value.encode() if isinstance(value, str) else value
            return content if _TRACEPARENT.fullmatch(content) else None
    return None
