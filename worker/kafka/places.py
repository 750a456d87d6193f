"""Checks each record's offset against the end of its partition.

In a batch that is not compressed, the records keep the offsets that their producer wrote: Kafka numbers the
batch, and does not check the records in it (seen on 4.3). The client trusts them. If an offset beyond the end
were committed, the next worker would start again at the beginning, or skip the records in between.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from worker.kafka.record import Partition, Record

FAULT = "its producer gave it an offset beyond the end of the partition"


class Places:
    """The next offset of each assigned partition, where it is known. Used by the polling thread."""

    def __init__(
        self,
        end_of: Callable[[Partition], int],
        end_now: Callable[[Partition], int],
        start_of: Callable[[Partition], int],
    ) -> None:
        """`end_of` gives the last known end, negative if there is none; `end_now` asks Kafka for it.

        `start_of` tells where reading began.
        """
        self._end_of = end_of
        self._end_now = end_now
        self._start_of = start_of
        self._next: dict[Partition, int] = {}

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget the offsets, after a rewind or a change of the assignment: any offset may come next."""
        for place in partitions:
            self._next.pop(place, None)

    def expect(self, place: Partition, offset: int) -> None:
        """Expect the next record at `offset`, after a seek to it; any offset may follow a negative one."""
        if offset < 0:
            self.forget([place])
        else:
            self._next[place] = offset

    def next_of(self, place: Partition) -> int | None:
        """The offset after the last record, if a record has come since reading began."""
        return self._next.get(place)

    def check(self, records: Sequence[Record]) -> tuple[list[Record], dict[Partition, int]]:
        """Return the records, and where to read on in partitions with an impossible offset.

        The record with that offset gets the expected one and a `fault`. Records fetched after it are left
        out, and will be fetched again. Kafka is asked for the end before a record is found at fault: what
        comes with a fetch may be older than its last records, since the broker notes the end and then reads.
        """
        ends: dict[Partition, int] = {}
        again: dict[Partition, int] = {}
        asked: set[Partition] = set()
        kept = []
        for record in records:
            place = record.place
            if place in again:
                continue
            if place not in ends:
                ends[place] = self._end_of(place)
            offset = record.offset
            if ends[place] <= offset and place not in asked:
                asked.add(place)
                ends[place] = self._end_now(place)
            if 0 <= ends[place] <= offset:
                offset = self._next[place] if place in self._next else self._start_of(place)
                record = msgspec.structs.replace(record, offset=offset, fault=FAULT)  # noqa: PLW2901 - the same record
                again[place] = offset + 1
            self._next[place] = offset + 1
            kept.append(record)
        return kept, again
