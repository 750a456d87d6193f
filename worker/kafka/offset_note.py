"""The note that is committed with every offset, and says which topic the offset belongs to.

Where a topic is deleted and another one made with its name, an offset of the first would skip as many records
of the second. Kafka stores a string with each committed offset, in the same transaction. The worker writes
this JSON into it: `{"v":1,"topic_id":"9fIXJ0ymT--T3k1OIVmaUg"}`.

A new field needs a default, so that older notes stay readable; unknown fields are ignored, so that notes of
later workers are too. A string that no worker of ours wrote is read as an empty note.
"""

import msgspec

LARGEST_BYTES = 4096  # the default of the brokers' offset.metadata.max.bytes


class OffsetNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """`topic_id` is written as Kafka's tools print it, and empty where it is unknown."""

    topic_id: str = ""
    version: int = msgspec.field(default=1, name="v")


def write(note: OffsetNote) -> str:
    """The string for Kafka. Raises ValueError: it is larger than brokers accept."""
    text = msgspec.json.encode(note).decode()
    if len(text.encode()) > LARGEST_BYTES:
        raise ValueError(f"a note of an offset may have {LARGEST_BYTES} bytes")
    return text


def read(metadata: str | None) -> OffsetNote:
    """Read the string from Kafka; an unreadable one gives an empty note."""
    try:
        return msgspec.json.decode(metadata or "", type=OffsetNote)
    except (msgspec.DecodeError, UnicodeError):
        return OffsetNote()
