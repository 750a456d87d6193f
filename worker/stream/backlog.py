"""How much work waits for this worker: the tokens that wait, at the rate that its model was measured at.

A lag in records says little: a message has three tokens or three hundred, some are in the cache, and two
devices differ a thousandfold. So offsets are turned into tokens by what the last records cost. It is tokens
per *offset* and not per record: what takes an offset and is never read (transaction markers, aborted records,
what compaction took) then counts as little among what waits as it did among what was read.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from worker.kafka.record import Partition
from worker.stream.batch import Entry
from worker.stream.pace import Pace

_PARTITION: Final = attrgetter("record.partition")  # of the one topic that a worker reads
MEMORY: Final = 5000.0  # offsets after which what was read before counts for a third


class Backlog:
    """Tokens per offset, and what follows from them. Used by the polling thread."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._next: dict[Partition, int] = {}
        self._offsets = 0.0
        self._tokens = 0.0

    def read(self, entries: Sequence[Entry]) -> None:
        """Note that `entries` were read, with their tokens; those of a partition in the order of offsets."""
        passed = 0
        for _, run in groupby(entries, _PARTITION):
            read = list(run)
            first, last = read[0].record, read[-1].record
            due = self._next.get(first.place, first.offset)
            # `due` is larger where a rewind went back; the last offset is smaller where a producer wrote so.
            # Each record takes one offset at least.
            passed += max(len(read), last.offset + 1 - min(due, first.offset))
            self._next[first.place] = last.offset + 1
        kept = math.exp(-passed / MEMORY)
        self._offsets = self._offsets * kept + passed
        self._tokens = self._tokens * kept + sum(entry.tokens for entry in entries)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget where partitions were read, since reading goes on elsewhere: at a gap that nobody read."""
        for place in partitions:
            self._next.pop(place, None)

    def seconds(self, lag: int, tokens_in_hand: int) -> float | None:
        """The seconds that the model needs for what waits.

        `lag` is the number of offsets still to be fetched, `tokens_in_hand` the estimated tokens of what was
        fetched and is not committed. None before anything was read, or before a rate was measured.
        """
        if not self._offsets:
            return None
        return self._pace.seconds_for(tokens_in_hand + lag * self._tokens / self._offsets)
