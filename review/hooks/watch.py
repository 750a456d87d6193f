"""Finds what is to be told: open cases, and those that pass their deadline; no golden items. Pure."""

import heapq
from collections.abc import Callable, Collection, Iterator

from review.hooks.notice import Notice, NoticeType, notice_id, notice_of
from review.queue.live import LiveQueue
from review.queue.waiting import Waiting


class Watch:
    """Looks at the queue again and again. `told` says whether a notice needs no telling any more."""

    def __init__(self, queue: LiveQueue, kinds: Collection[NoticeType], told: Callable[[str], bool]) -> None:
        self._queue = queue
        self._kinds = frozenset(kinds)
        self._told = told
        self._version: int | None = None
        self._deadlines: list[tuple[float, str]] = []

    def look(self, now: float) -> Iterator[Notice]:
        """Yield the notices that are due since the last look, each at least once while its case is open."""
        for entry in self._fresh():
            due = self._queue.rules.law.due(entry)
            if "case.overdue" in self._kinds:
                heapq.heappush(self._deadlines, (due, entry.id))
            yield from self._made("case.opened", entry, now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, case_id = heapq.heappop(self._deadlines)
            late = self._queue.entry(case_id)
            if late is not None and self._queue.rules.law.due(late) <= now:
                yield from self._made("case.overdue", late, now)

    def still_open(self, case_id: str) -> bool:
        """Whether there is any sense in telling of this case."""
        return self._queue.entry(case_id) is not None

    def _made(self, kind: NoticeType, entry: Waiting, now: float) -> Iterator[Notice]:
        # A golden item is about no message of anybody: whoever receives this would look for one.
        if entry.kind == "golden":
            return
        if kind in self._kinds and not self._told(notice_id(kind, entry)):
            yield notice_of(kind, entry, self._queue.rules.law.due(entry), now)

    def _fresh(self) -> Iterator[Waiting]:
        """The entries that are new since the last look; all of them where that is not known."""
        log = self._queue.log
        changes = None if self._version is None else log.since(self._version)
        self._version = log.version
        if changes is None:
            self._deadlines.clear()
            yield from self._queue.entries()
            return
        for change in changes:
            before, after = change.before, change.after
            if after is not None and (before is None or before.since != after.since):
                yield after
