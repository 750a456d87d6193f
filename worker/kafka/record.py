"""What is read from Kafka and written to it, whatever the client: records, partitions, offsets.

`gc=False`: none of these is ever part of a cycle, and the garbage collector need not walk thousands a batch.
"""

import msgspec

from schemas.events import Origin

Headers = list[tuple[str, str | bytes | None]]  # as Kafka clients give and take them
Partition = tuple[str, int]  # topic, partition number
Offsets = dict[Partition, int]  # the next offset to read


class Record(msgspec.Struct, frozen=True, gc=False):
    """One consumed record, bytes untouched.

    `timestamp_ms` since the epoch, 0 where there is none: a producer's claim, which may be any other day.
    `headers` is None where they cannot be read: that costs the trace, never the label. `fault` says why the
    record cannot be taken at its word, empty where it can.
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
        """Where it came from, as events state it."""
        return Origin(self.topic, self.partition, self.offset)


class Outbound(msgspec.Struct, frozen=True, gc=False):
    """One record to produce."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
