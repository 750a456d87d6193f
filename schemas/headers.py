"""Kafka headers of an event: CloudEvents 1.0 in binary mode, and the W3C trace it belongs to.

Binary mode (CloudEvents Kafka protocol binding): the attributes are headers named `ce_…`, the record's
value is the event itself. A consumer that knows nothing of CloudEvents loses nothing.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from schemas.events import Event
from schemas.kinds import KINDS

Headers = list[tuple[str, str | bytes | None]]  # as Kafka clients give and take them

# Per kind: the field that is `ce_time`, and the headers that are the same for all its events.
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
    """The headers of a record that carries `event`; `traceparent` as `find_traceparent` gave it.

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
    """Remembered, since all outcomes of a batch have one time."""
    return "ce_time", time.isoformat().encode()


def find_traceparent(headers: Sequence[tuple[str, str | bytes | None]] | None) -> bytes | None:
    """The trace a consumed record belongs to, or None where it names none that is well formed.

    What is not well formed is dropped, as the standard asks: it would be copied to every outcome, and
    must not become a way for text to travel where text must not go.
    """
    for name, value in headers or ():
        if name == "traceparent" and value is not None:
            content = value.encode() if isinstance(value, str) else value
            return content if _TRACEPARENT.fullmatch(content) else None
    return None
