"""Keeps the table's changelog right, though Faust fences nobody: a frozen desk can wake and write to it.

A frozen desk (a paused machine, a long stall) loses its partitions. When it wakes, the write it was about to
make still goes out, behind everything that the new owner has written meanwhile. Three rules make it harmless:

- Each value begins with its key's version, which counts its writes. Reading the changelog never goes back to
  a lower version. Both desks fold the same log, so what has the same version says the same.
- Whoever writes next sees from its record's offset that a foreign one lies before it, reads that, and writes
  anew what it has of a higher version. So the last record of a key is right again before Kafka could compact
  the right one away. Who reads a late one while it recovers does so before its desk opens.
- The offset up to which the local store holds the changelog moves on only over the desk's own records. The
  desk that was frozen so reads what it has missed, instead of beginning behind its late write.

A deletion has no version. Only markers and held events are deleted, and one that comes back does no harm.
"""

import asyncio
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import structlog
from faust.tables.table import Table
from faust.types import TP, EventT, FutureMessage

log = structlog.get_logger()

_VERSION: Final = struct.Struct(">Q")

# The records of a partition of the changelog from one offset up to, not with, another: keys and values.
ReadBack = Callable[[TP, int, int], Awaitable[list[tuple[bytes, bytes | None]]]]


def stamped(version: int, value: bytes) -> bytes:
    """The value with its key's version in front."""
    return _VERSION.pack(version) + value


def content_of(stored: bytes) -> bytes:
    """The value without the version."""
    return stored[_VERSION.size :]


def version_of(stored: bytes | None) -> int:
    """The version of a stored value; 0 of none."""
    return 0 if stored is None or len(stored) < _VERSION.size else int(_VERSION.unpack_from(stored)[0])


class VersionedTable(Table[bytes, bytes]):
    """A Faust table whose writes can be awaited, and whose changelog no late writer can turn back."""

    def __init__(self, *args: Any, read_back: ReadBack, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_back = read_back
        self._unsettled: list[FutureMessage] = []
        self._reached: dict[TP, int] = {}
        self._gaps: dict[TP, tuple[int, int]] = {}  # up to, not with, this desk's own record
        self._behind: defaultdict[int, set[bytes]] = defaultdict(set)
        self._mending = asyncio.Lock()

    @property
    def partitions_held(self) -> frozenset[int]:
        """The partitions whose entries are this desk's, and not a standby's or another's."""
        name = self.changelog_topic_name
        return frozenset(tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == name)

    def held_keys(self) -> list[tuple[int | None, bytes]]:
        """Each key held here, with its partition; each one, and None, where the store is a dict."""
        visible = getattr(self.data, "_visible_keys", None)
        if visible is None:
            return [(None, key) for key in self.keys()]
        held = sorted(self.partitions_held)
        return [(partition, key) for partition in held for key in visible(self._database(partition))]

    def stored(self, partition: int | None, key: bytes) -> bytes | None:
        """What is stored under a key. Outside of an event, Faust would look into every partition's store."""
        found = self._database(partition).get(key)
        return None if found is None else bytes(found)

    def _database(self, partition: int | None) -> Any:
        of_partition = getattr(self.data, "_db_for_partition", None)
        return of_partition(partition) if of_partition else self.data

    def send_changelog(self, *args: Any, **kwargs: Any) -> FutureMessage:
        """Send a changelog record, and keep its future until it is done."""
        future = super().send_changelog(*args, **kwargs)
        self._unsettled.append(future)
        return future

    async def settle(self) -> None:
        """Wait until Kafka has acknowledged every changelog record. Raises what the producer raised."""
        while self._unsettled or self._gaps:
            pending, self._unsettled = self._unsettled, []
            for future in pending:
                await future
            gaps, self._gaps = self._gaps, {}
            for tp, (start, stop) in gaps.items():
                await self._look_into(tp, start, stop)

    async def mend(self) -> None:
        """Write anew what a late writer has written over here. Called once the table is recovered.

        Raises what the producer or the reader raised; what is not mended then is left to the next call.
        """
        async with self._mending:
            for partition in self.partitions_held & self._behind.keys():
                keys = self._behind.pop(partition)
                try:
                    for key in keys:
                        self._write_anew(partition, key)
                    await self.settle()
                except BaseException:
                    self._behind[partition] |= keys
                    raise

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]]) -> None:
        """Take records of the changelog into the store, but none that is older than what is there."""
        super().apply_changelog_batch(list(self._newer(batch)))

    def _newer(self, batch: Iterable[EventT[Any]]) -> Iterator[EventT[Any]]:
        taken: dict[bytes, int] = {}
        for event in batch:
            message = event.message
            key, value = message.key or b"", message.value
            self._reached[message.tp] = max(message.offset, self._reached.get(message.tp, -1))
            known = taken.get(key)
            if known is None:
                known = version_of(self.stored(message.partition, key))
            if value is not None and version_of(value) < known:
                self._behind[message.partition].add(key)
                log.warning("late_write_refused", partition=message.partition, offset=message.offset)
                continue
            taken[key] = version_of(value)
            self._behind[message.partition].discard(key)
            yield event

    def _on_changelog_sent(self, fut: FutureMessage) -> None:
        sent = fut.result()
        tp: TP = sent.topic_partition
        reached = self._reached.get(tp)
        if reached is None:
            persisted = self.data.persisted_offset(tp)
            reached = self._reached[tp] = -1 if persisted is None else persisted
        if sent.offset > reached + 1:
            self._gaps[tp] = (reached + 1, sent.offset)
        elif sent.offset == reached + 1:
            self._move_to(tp, sent.offset)

    async def _look_into(self, tp: TP, start: int, stop: int) -> None:
        newest: defaultdict[bytes, int] = defaultdict(int)
        last: dict[bytes, bytes | None] = {}
        for key, value in await self._read_back(tp, start, stop + 1):
            newest[key] = max(newest[key], version_of(value))
            last[key] = value
        here = {key: version_of(self.stored(tp.partition, key)) for key in last}
        missed = sum(newest[key] > here[key] for key in last)
        # Each key by its last record, which may be what this desk has written anew: a late desk's gap stays.
        for key, value in last.items():
            if max(newest[key], version_of(value) + 1) <= here[key] and not (value is None and missed):
                log.warning("late_write_mended", partition=tp.partition, offsets=f"{start}-{stop - 1}")
                self._write_anew(tp.partition, key)
        if missed:  # this desk is the late one: it reads them when it joins again
            log.warning("written_while_away", partition=tp.partition, keys=missed)
        elif self._reached[tp] < stop:
            self._move_to(tp, stop)

    def _move_to(self, tp: TP, offset: int) -> None:
        self._reached[tp] = offset
        self.data.set_persisted_offset(tp, offset)

    def _write_anew(self, partition: int, key: bytes) -> None:
        if (value := self.stored(partition, key)) is not None:
            self.send_changelog(partition, key, value)
