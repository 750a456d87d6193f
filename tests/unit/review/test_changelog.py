"""What a desk does about late writes when it takes a partition over, and when Kafka fails at that moment."""

import asyncio
from types import SimpleNamespace
from typing import Any, Final

import faust
import pytest
from faust.types import TP
from faust.types.tuples import RecordMetadata
from structlog.testing import capture_logs

from review.cases.entries import Entry, encode_entry, receive_case
from review.cases.keys import case_key
from review.kafka import table as kafka_table
from review.kafka.changelog import stamped, version_of
from review.kafka.table import CaseTable
from review.retention.cipher import Cipher, Key
from tests.fakes.review_cases import a_case

CIPHER: Final = Cipher([Key(b"k" * 32)])
CASES: Final = {case_key(case.id): case for case in (a_case(1), a_case(2))}
FIRST, SECOND = CASES
PARTITION: Final = TP("desk-cases-changelog", 0)


def record(key: bytes, version: int) -> tuple[bytes, bytes]:
    """A record of the changelog."""
    entry, _ = receive_case(None, CASES[key], PARTITION.partition)
    return key, stamped(version, CIPHER.seal(encode_entry(entry), key))


class Changelog:
    """A partition of the changelog in memory: the producer, and the reader beside it. Each can fail once."""

    def __init__(self, *fails_once: str) -> None:
        self.records: list[tuple[bytes, bytes]] = []
        self._fails = set(fails_once)

    def send_soon(self, sent: Any) -> None:
        """As Faust's producer does: acknowledge later, and tell the table."""
        asyncio.get_running_loop().call_soon(self._take, sent)

    def _take(self, sent: Any) -> None:
        if "producer" in self._fails:
            self._fails.remove("producer")
            sent.set_exception(ConnectionError("the producer is gone"))
            return
        self.records.append((sent.message.key, sent.message.value))
        offset = len(self.records) - 1
        sent.set_result(RecordMetadata(PARTITION.topic, PARTITION.partition, PARTITION, offset))
        sent.message.callback(sent)

    async def read_back(self, tp: TP, start: int, stop: int) -> list[tuple[bytes, bytes | None]]:
        """The records of a stretch."""
        assert tp == PARTITION
        if "reader" in self._fails:
            self._fails.remove("reader")
            raise TimeoutError
        return [*self.records[start:stop]]

    def newest(self) -> dict[bytes, int]:
        """The version of each key's last record: what compaction keeps."""
        return {key: version_of(value) for key, value in self.records}


class Told:
    """A watcher, which can fail once."""

    def __init__(self, *, fails: bool) -> None:
        self.keys: list[bytes] = []
        self._fails = fails

    def clear(self) -> None:
        self.keys.clear()

    def put(self, key: bytes, _entry: Entry) -> None:
        self.keys.append(key)
        if self._fails:
            self._fails = False
            raise ValueError(key)

    def drop(self, key: bytes) -> None:
        self.keys.remove(key)


class Desk:
    """A desk's table, which reads the changelog as Faust's recovery does."""

    def __init__(self, changelog: Changelog, told: Told) -> None:
        self._changelog = changelog
        app: Any = faust.App("desk", store="memory://", autodiscover=False)
        app.producer = changelog
        app.assignor = SimpleNamespace(assigned_actives=lambda: {PARTITION})
        CaseTable(app, CIPHER, [told], changelog.read_back, partitions=1, compaction_hours=1, rocksdb=False)
        self._table: Any = app.tables["cases"]

    def read(self) -> None:
        """Read all of it."""
        self._table.apply_changelog_batch(
            [
                SimpleNamespace(
                    key=key,
                    value=value,
                    message=SimpleNamespace(
                        key=key, value=value, offset=offset, tp=PARTITION, partition=PARTITION.partition
                    ),
                )
                for offset, (key, value) in enumerate(self._changelog.records)
            ]
        )

    async def write(self, key: bytes, value: bytes) -> None:
        """Write as an agent does, in the midst of an event."""
        self._table.data[key] = value
        self._table.send_changelog(PARTITION.partition, key, value)
        await self._table.settle()

    async def open(self) -> None:
        """The table is recovered. Faust opens the desk when this returns, and swallows what it raises."""
        await self._table.on_recovery_completed({PARTITION}, set())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_table, "RETRY_SECONDS", 0)


@pytest.mark.parametrize(
    ("fails_once", "step"),
    [([], None), (["producer"], "mend"), (["reader"], "mend"), (["watcher"], "tell_all")],
)
def test_a_desk_opens_on_the_whole_queue_and_a_changelog_that_is_right(
    fails_once: list[str], step: str | None
) -> None:
    async def opened() -> None:
        desk.read()
        changelog.records.append(record(SECOND, 1))  # another late write, after the table was read
        await desk.open()

    changelog, told = Changelog(*fails_once), Told(fails="watcher" in fails_once)
    changelog.records = [record(key, version) for version in (1, 2) for key in CASES]
    changelog.records.append(record(FIRST, 1))
    desk = Desk(changelog, told)
    with capture_logs() as logs:
        asyncio.run(opened())
    assert changelog.newest() == {FIRST: 2, SECOND: 2}
    assert sorted(told.keys) == sorted(CASES)
    faults = [line for line in logs if line["log_level"] == "error"]
    assert [(line["event"], line["step"]) for line in faults] == ([("not_recovered", step)] if step else [])


def test_a_changelog_that_nobody_wrote_to_late_is_left_as_it_is() -> None:
    changelog = Changelog()
    changelog.records = [record(key, version) for version in (1, 2) for key in CASES]
    desk = Desk(changelog, Told(fails=False))
    desk.read()
    asyncio.run(desk.open())
    assert len(changelog.records) == 4


def test_a_desk_that_wakes_ends_its_late_write_however_much_was_written_meanwhile() -> None:
    """It has an older version of one case, and the newest of the other, which somebody has written over."""

    async def woken() -> None:
        desk.read()
        changelog.records += [record(FIRST, 2), record(FIRST, 3), record(SECOND, 1), record(SECOND, 2)]
        changelog.records += [record(SECOND, 1)]
        async with asyncio.timeout(10):
            await desk.write(*record(FIRST, 2))

    changelog = Changelog()
    changelog.records = [record(FIRST, 1), record(SECOND, 2)]
    desk = Desk(changelog, Told(fails=False))
    asyncio.run(woken())
    assert [version_of(value) for key, value in changelog.records[-2:]] == [2, 2]
    assert len(changelog.records) == 9  # its late write, and what is written anew
