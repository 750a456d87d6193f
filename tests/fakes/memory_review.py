"""The real desk without Kafka: its steps come back at once, from a log that is a list.

Everything that decides is the product's own: `Desk`, its rules and its fold. Only the table and the log are
kept in memory, and nobody else writes to them.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from review.cases.entries import CaseState, Entry, case_key, receive_case
from review.cases.steps import advance
from review.desk import Desk
from review.journal import Journal
from review.kafka.cluster import Cluster
from review.metrics import DeskMetrics
from review.present import Limits, Present
from review.settings import ReviewSettings
from schemas.events import CaseEvent, ReviewCase


class MemoryTable:
    """Entries by key; the desk is told of each change, as by the real table."""

    def __init__(self, present: Present) -> None:
        self._present = present
        self._entries: dict[bytes, Entry] = {}

    def get(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def put(self, key: bytes, entry: Entry) -> None:
        self._entries[key] = entry
        self._present.put(key, entry)


class MemoryReview:
    """What the web server needs of a `ReviewApp`. `events` are the steps that were written, oldest first."""

    def __init__(
        self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), **settings: object
    ) -> None:
        self.settings = ReviewSettings.model_validate({"store": "memory", "port": 0, **settings})
        self.cluster = Cluster(1, 4, 1)
        self.metrics = DeskMetrics()
        self.started = clock()
        self.held_partitions = 4
        self.ready = True
        self.events: list[CaseEvent] = []
        limits = Limits(
            timedelta(seconds=self.settings.lease_seconds),
            timedelta(seconds=self.settings.undo_seconds),
            timedelta(seconds=self.settings.handover_seconds),
        )
        self.present = Present(limits, clock)
        self.table = MemoryTable(self.present)
        self.journal = Journal(self._append, confirm_seconds=5)
        self.desk = Desk(self.table, self.present, self.journal, self.settings, limits, clock=clock)

    def arrive(self, *cases: ReviewCase) -> None:
        for case in cases:
            entry, _ = receive_case(None, case, 0)
            self.table.put(case_key(case.id), entry)

    async def _append(self, event: CaseEvent, _partition: int) -> None:
        self.events.append(event)
        entry = self.table.get(case_key(event.case_id))
        assert isinstance(entry, CaseState)
        state, outcome = advance(entry, event)
        self.table.put(case_key(event.case_id), state)
        asyncio.get_running_loop().call_soon(self.journal.came_back, event, outcome, state)
