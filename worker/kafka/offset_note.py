"""The note that stands beside every committed offset: which topic the offset belongs to.

An offset alone does not say so. Where a topic is deleted and made again under its name, an offset of the
first would skip as many records of the second. Kafka keeps a string with each committed offset, in the same
transaction; this is what the worker writes there: small JSON, `{"v":1,"topic_id":"9fIXJ0ymT--T3k1OIVmaUg"}`.

To add a field, give it a default: notes without it, and notes of later workers, stay readable. What no worker
of ours wrote reads as a note that says nothing.
"""

import msgspec

LARGEST_BYTES = 4096  # the brokers' offset.metadata.max.bytes, by default


class OffsetNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """`topic_id` is as Kafka's own tools print it; empty where it is not known."""

    topic_id: str = ""
    version: int = msgspec.field(default=1, name="v")


def write(note: OffsetNote) -> str:
    """As it is sent to Kafka. ValueError: larger than brokers take."""
    text = msgspec.json.encode(note).decode()
    if len(text.encode()) > LARGEST_BYTES:
        raise ValueError(f"a note of an offset may have {LARGEST_BYTES} bytes")
    return text


def read(metadata: str | None) -> OffsetNote:
    """As it came from Kafka; whatever cannot be read says nothing."""
    try:
        return msgspec.json.decode(metadata or "", type=OffsetNote)
    except (msgspec.DecodeError, UnicodeError):
        return OffsetNote()
