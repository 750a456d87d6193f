"""Partitions of which nothing was read since they were told where to begin.

A client that has not begun yet may forget that it was told so, and begin at the partition's start: what it
then gives was labelled by others.
"""

from collections.abc import Iterable, Sequence

from worker.kafka.record import Partition, Record


class Fresh:
    """Used by the polling thread."""

    def __init__(self) -> None:
        self._begins: dict[Partition, int] = {}
        self._told_again: set[Partition] = set()

    def begin(self, place: Partition, offset: int) -> None:
        """Reading was told to begin at `offset`; a negative one is the partition's start."""
        self._begins[place] = offset

    def forget(self, places: Iterable[Partition]) -> None:
        """They are told anew."""
        for place in places:
            self._begins.pop(place, None)

    def leave(self, places: Iterable[Partition]) -> None:
        """They are not read any more: what was seen of them says nothing of when they come back."""
        self.forget(places)
        self._told_again.difference_update(places)

    def early(self, records: Sequence[Record]) -> set[Partition]:
        """Those that begin before the place that they were told: their records must not be used.

        Each counts once until it has begun, since a client that has begun forgets nothing, while a producer
        may make up an early offset as often as it likes.
        """
        found: set[Partition] = set()
        if not self._begins:
            return found
        for record in records:
            begins = self._begins.pop(record.place, None)
            if begins is None:
                continue
            if record.offset < begins and record.place not in self._told_again:
                found.add(record.place)
            else:
                self._told_again.discard(record.place)
        self._told_again |= found
        return found
