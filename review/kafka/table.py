"""The table of cases: a Faust table whose writes can be awaited.

Faust sends a table's changelog in the background, commits the event's offset at its own time, and only warns
of a changelog record that never arrives. Here the agent waits for Kafka's acknowledgement before it
acknowledges the event, so a committed case is always in the changelog.

Several agents write at the same time, and each waits for Kafka between what it has read and what it writes.
So a write names the entry that it was made from, and is refused where there is another by now.

The table is a dict of sealed bytes, so that neither this disk nor the changelog holds words in clear;
`review.cases.entries` defines what they mean, `review.retention.cipher` who can open them. Faust keeps
entries of partitions that have moved to another desk (as a standby, or because it forgets nothing in memory).
Only those that are held here are given out.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol

import faust
import structlog

from review.cases.entries import Entry, decode_entry, encode_entry
from review.kafka.changelog import ReadBack, VersionedTable, content_of, stamped, version_of
from review.retention.cipher import ChangedError, Cipher, KeyGoneError

log = structlog.get_logger()

# Each partition has a RocksDB of its own, and Faust's defaults (2 GB cache) are made for millions of keys.
ROCKSDB_OPTIONS = {"block_cache_size": 32 << 20, "write_buffer_size": 8 << 20, "max_write_buffer_number": 2}

# A case's entry is a little larger than its record; this suffices for topics with records up to 8 MiB.
MAX_RECORD = 9 << 20

# How many entries are told of in one go: a few hundredths of a second.
AT_ONCE = 500

# After a step of the recovery has failed.
RETRY_SECONDS = 1.0


class ChangedMeanwhileError(Exception):
    """Another agent has written this key since the entry was read: read it again."""


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

    async def put(self, key: bytes, entry: Entry, *, over: Entry | None) -> None:
        """Write an entry over the one that was read. Raises ChangedMeanwhileError: it is another by now."""

    async def prune(self, keys: list[bytes]) -> None:
        """Delete these keys of the current event's partition."""


class CaseTable:
    """Entries by key. They can be read from anywhere, but written only inside an agent."""

    def __init__(
        self,
        app: faust.App,
        cipher: Cipher,
        watchers: Sequence[Watcher],
        read_back: ReadBack,
        *,
        partitions: int,
        compaction_hours: float,
        rocksdb: bool,
    ) -> None:
        name = "cases"
        self._app = app
        self._cipher = cipher
        self._watchers = tuple(watchers)
        self._recoveries = 0
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
        entry = self._stored(key)
        return entry if entry and entry.partition in self._table.partitions_held else None

    def all_keys(self) -> Iterator[bytes]:
        """The key of every entry, in no particular order."""
        yield from self._table.keys()

    def items(self) -> Iterator[tuple[bytes, Entry]]:
        """Every entry of the partitions held here, in no particular order."""
        held = self._table.partitions_held
        for key, value in self._table.items():
            entry = self._open(key, value)
            if entry and entry.partition in held:
                yield key, entry

    async def put(self, key: bytes, entry: Entry, *, over: Entry | None) -> None:
        """Write an entry and wait for Kafka, even where it is unchanged: `review.kafka.agents` says why.

        Raises ChangedMeanwhileError: what is there is not `over`, of which the entry was made.
        """
        # An entry that is not given out here, since its partition has moved, counts as the one that was read.
        if self._stored(key) != over and self.get(key) != over:
            raise ChangedMeanwhileError
        version = version_of(self._table.get(key)) + 1
        self._table[key] = stamped(version, self._cipher.seal(encode_entry(entry), key))
        await self._table.settle()
        if version_of(self._table.get(key)) != version:
            return  # whoever has written it since tells of that, and has perhaps told already
        for watcher in self._watchers:
            watcher.put(key, entry)

    async def prune(self, keys: list[bytes]) -> None:
        """Delete these keys of the current event's partition, and wait for Kafka."""
        for key in keys:
            self._table.pop(key, None)
        await self._table.settle()
        for key in keys:
            for watcher in self._watchers:
                watcher.drop(key)

    async def compact(self, partition: int) -> None:
        """Take what was overwritten or deleted from this disk, where RocksDB would keep it for long."""
        db = getattr(self._table.data, "_dbs", {}).get(partition)
        if db is not None:
            await asyncio.to_thread(_compact, db)

    async def _recovered(self) -> None:
        # Faust swallows what is raised here, and would open the desk all the same: on a part of the queue, or
        # on a changelog with an older record behind a newer one. So this returns when both steps are done.
        self._recoveries = this = self._recoveries + 1
        for step in (self._tell_all, self._table.mend):
            await self._until_done(step, this)

    async def _until_done(self, step: Callable[[], Awaitable[None]], recovery: int) -> None:
        while recovery == self._recoveries and not self._app.should_stop:
            try:
                await step()
            except KeyGoneError as error:
                await self._app.crash(error)
            except Exception as error:  # noqa: BLE001 - Faust would swallow it
                hint = "the desk is not ready, and tries again"
                name = step.__name__.strip("_")
                log.error("not_recovered", step=name, error=type(error).__name__, hint=hint)  # noqa: TRY400 - its traceback may quote text
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _tell_all(self) -> None:
        # 100,000 entries take seconds, and Kafka's heartbeats wait in this loop. Without pauses, the desk
        # would be put out of its group, and begin again. What changes meanwhile is told as it is then.
        # What is known of entries is in no cycle, and is freed without the collector. So it is kept out of
        # its sight: to look through all of it takes up to a second, in which no page is answered.
        held = self._table.partitions_held
        for watcher in self._watchers:
            watcher.clear()
        for number, (partition, key) in enumerate(self._table.held_keys()):
            if number % AT_ONCE == 0:
                gc.freeze()
                await asyncio.sleep(0)
                held = self._table.partitions_held
            if partition is not None and partition not in held:
                continue  # it has moved on meanwhile, and its store is closed
            value = self._table.stored(partition, key)
            entry = None if value is None else self._open(key, value)
            if entry is not None and entry.partition in held:
                for watcher in self._watchers:
                    watcher.put(key, entry)

    def _stored(self, key: bytes) -> Entry | None:
        value = self._table.get(key)
        return None if value is None else self._open(key, value)

    def _open(self, key: bytes, sealed: bytes) -> Entry | None:
        try:
            return decode_entry(self._cipher.open(content_of(sealed), key))
        except ChangedError as error:
            # It is as if it were not there: nobody is shown what somebody else has put in its place.
            log.error("entry_changed", key=key.decode(errors="replace"), reason=str(error))  # noqa: TRY400
            return None


def _compact(db: Any) -> None:
    db.flush()
    db.compact_range(None, None)
