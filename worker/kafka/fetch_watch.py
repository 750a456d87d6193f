"""Notices partitions of this worker that its client has silently stopped to fetch. Pure.

The client knows the end of a partition from its last fetch, and fetches all the time while it is neither
paused nor full. So a partition is not fetched any more where Kafka tells of an end that the client has not
heard of a whole look later, although it had nothing else to do meanwhile. A position that stands still says
less: what follows it may be the markers of transactions, which are never delivered.
"""

from collections.abc import Mapping
from typing import Final

from worker.kafka.record import Partition

LOOKS: Final = 2  # in a row


class FetchWatch:
    """Follows the partitions of one consumer from look to look."""

    def __init__(self) -> None:
        self._ends: Mapping[Partition, int] = {}
        self._behind: dict[Partition, int] = {}

    def look(
        self, ends: Mapping[Partition, int], known: Mapping[Partition, int], *, idle: bool
    ) -> list[Partition]:
        """Take in a look, and return the partitions to fetch anew.

        `ends` are those that Kafka told now, `known` those of which the client has heard, negative where it
        has heard of none. `idle`: since the last look, a poll found nothing to read while not paused.
        """
        before, self._ends = self._ends, ends
        behind = {
            place for place, end in before.items() if idle and place in known and max(known[place], 0) < end
        }
        self._behind = {place: self._behind.get(place, 0) + 1 for place in behind}
        stopped = sorted(place for place, looks in self._behind.items() if looks >= LOOKS)
        for place in stopped:
            del self._behind[place]
        return stopped
