"""The table of cases: a Faust table whose writes can be awaited.

Faust sends a table's changelog in the background, commits the event's offset at its own time, and only warns
of a changelog record that never arrives. Here the agent waits for Kafka's acknowledgement before it
acknowledges the event, so a committed case is always in the changelog.

The table is a plain dict of bytes; `review.cases.entries` defines what they mean. Faust keeps entries of
partitions that have moved to another desk (as a standby, or because it forgets nothing in memory). Only those
that are held here are given out.
"""

import asyncio
from collections.abc import Iterator
from typing import Protocol

import faust

from review.cases.entries import Entry, decode_entry, encode_entry
from review.kafka.changelog import ReadBack, VersionedTable, content_of, stamped, version_of

# Each partition has a RocksDB of its own, and Faust's defaults (2 GB cache) are made for millions of keys.
ROCKSDB_OPTIONS = {"block_cache_size": 32 << 20, "write_buffer_size": 8 << 20, "max_write_buffer_number": 2}

# A case's entry is a little larger than its record; this suffices for topics with records up to 8 MiB.
MAX_RECORD = 9 << 20

# How many entries are told of in one go: a few hundredths of a second.
AT_ONCE = 500


class Watcher(Protocol):
    """Something that is told of every entry of the partitions held here."""

    def clear(self) -> None:
        """The entries that follow are all there are."""

    def put(self, key: bytes, entry: Entry) -> None:
        """An entry is new, or has changed."""

    def drop(self, key: bytes) -> None:
        """An entry is gone."""


class Entries(Protocol):
    """The table as the agents use it: read, and write and wait for Kafka."""

    def get(self, key: bytes) -> Entry | None:
        """The entry under this key. None where another desk holds it."""

    def items(self) -> Iterator[tuple[bytes, Entry]]:
        """Every entry of the partitions held here, in no particular order."""

    async def put(self, key: bytes, entry: Entry) -> None:
        """Write an entry."""

    async def prune(self, keys: list[bytes]) -> None:
        """Delete these keys of the current event's partition."""


class CaseTable:
    """Entries by key. They can be read from anywhere, but written only inside an agent."""

    def __init__(
        self,
        app: faust.App,
        watcher: Watcher,
        read_back: ReadBack,
        *,
        partitions: int,
        compaction_hours: float,
        rocksdb: bool,
    ) -> None:
        name = "cases"
        self._watcher = watcher
        self._table = VersionedTable(
            app,
            read_back=read_back,
            name=name,
            beacon=app.tables.beacon,
            partitions=partitions,
            key_type=bytes,
            value_type=bytes,
            help="review cases by id, and markers of decided ones",
            options=dict(ROCKSDB_OPTIONS) if rocksdb else None,
            on_recover=self._recovered,
            extra_topic_configs={
                "max.compaction.lag.ms": str(int(compaction_hours * 3_600_000)),
                "segment.ms": str(int(compaction_hours * 3_600_000)),
                "max.message.bytes": str(MAX_RECORD),
            },
        )
        app.tables.add(self._table)

    @property
    def partitions_held(self) -> frozenset[int]:
        """The partitions whose entries are given out here."""
        return self._table.partitions_held

    def get(self, key: bytes) -> Entry | None:
        """The entry under this key. None where another desk holds it."""
        value = self._table.get(key)
        entry = None if value is None else decode_entry(content_of(value))
        return entry if entry and entry.partition in self._table.partitions_held else None

    def items(self) -> Iterator[tuple[bytes, Entry]]:
        """Every entry of the partitions held here, in no particular order."""
        held = self._table.partitions_held
        for key, value in self._table.items():
            entry = decode_entry(content_of(value))
            if entry.partition in held:
                yield key, entry

    async def put(self, key: bytes, entry: Entry) -> None:
        """Write an entry and wait for Kafka, even where it is unchanged: `review.kafka.agents` says why."""
        version = version_of(self._table.get(key)) + 1
        self._table[key] = stamped(version, encode_entry(entry))
        await self._table.settle()
        self._watcher.put(key, entry)

    async def prune(self, keys: list[bytes]) -> None:
        """Delete these keys of the current event's partition, and wait for Kafka."""
        for key in keys:
            self._table.pop(key, None)
        await self._table.settle()
        for key in keys:
            self._watcher.drop(key)

    async def _recovered(self) -> None:
        # 100,000 entries take seconds, and Kafka's heartbeats wait in this loop. Without pauses, the desk
        # would be put out of its group, and begin again. What changes meanwhile is told as it is then.
        self._watcher.clear()
        for number, key in enumerate(list(self._table.keys())):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if (entry := self.get(key)) is not None:
                self._watcher.put(key, entry)
        await self._table.mend()
