"""What is read from and written to Kafka, independent of the client: records, partitions, offsets.

They have `gc=False`, since none is ever part of a reference cycle, and the garbage collector would otherwise
visit thousands of them per batch.
"""

import msgspec

from schemas.events import Origin

Headers = list[tuple[str, str | bytes | None]]  # in the form that Kafka clients use
Partition = tuple[str, int]  # topic, partition number
Offsets = dict[Partition, int]  # the next offset to read


class Record(msgspec.Struct, frozen=True, gc=False):
    """One consumed record, its bytes unchanged.

    `timestamp_ms` counts from the epoch, and is 0 where there is none; the producer sets it, so it may be any
    day. `headers` is None where they cannot be read: the message then loses its trace, but never its label.
    `fault` says what is wrong with the record, and is empty where nothing is.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = 0
    headers: Headers | None = []
    fault: str = ""

    @property
    def place(self) -> Partition:
        """The partition it came from."""
        return self.topic, self.partition

    @property
    def origin(self) -> Origin:
        """The record's origin, as events hold it."""
        return Origin(self.topic, self.partition, self.offset)


class Outbound(msgspec.Struct, frozen=True, gc=False):
    """One record to produce."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
