"""Where a record says it stands, held against the end of its partition.

A batch that is not compressed keeps the offsets that its producer wrote into it: Kafka numbers the batch, and
does not look at the records inside (seen on 4.3). The client believes them. Committed, an offset beyond the
end makes the next worker begin again at the start, or skip what comes in between.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from worker.kafka.record import Partition, Record

FAULT = "its producer gave it an offset beyond the end of the partition"


class Places:
    """The next offset of each assigned partition, as far as it is known. Used by the polling thread."""

    def __init__(self, end_of: Callable[[Partition], int], start_of: Callable[[Partition], int]) -> None:
        """`end_of`: the last known end, negative where there is none. `start_of`: where reading began."""
        self._end_of = end_of
        self._start_of = start_of
        self._next: dict[Partition, int] = {}

    def forget(self, partitions: Iterable[Partition]) -> None:
        """After a rewind, and where partitions come or go: the next record may stand anywhere."""
        for place in partitions:
            self._next.pop(place, None)

    def expect(self, place: Partition, offset: int) -> None:
        """The next record is due at `offset`, where the client was just sent; below 0, anywhere."""
        if offset < 0:
            self.forget([place])
        else:
            self._next[place] = offset

    def next_of(self, place: Partition) -> int | None:
        """The offset after the last record that came, if one came since reading began."""
        return self._next.get(place)

    def check(self, records: Sequence[Record]) -> tuple[list[Record], dict[Partition, int]]:
        """The records, and where to read on in partitions that hold one whose offset cannot be.

        Such a record gets the offset at which the next one is due, and its `fault`; what was fetched behind
        it is left out, and comes again.
        """
        ends: dict[Partition, int] = {}
        again: dict[Partition, int] = {}
        kept = []
        for record in records:
            place = record.place
            if place in again:
                continue
            if place not in ends:
                ends[place] = self._end_of(place)
            offset = record.offset
            if 0 <= ends[place] <= offset:
                offset = self._next[place] if place in self._next else self._start_of(place)
                record = msgspec.structs.replace(record, offset=offset, fault=FAULT)  # noqa: PLW2901 - the same, where it stands
                again[place] = offset + 1
            self._next[place] = offset + 1
            kept.append(record)
        return kept, again
