"""What the desk knows by heart of the table's entries, so that no request reads all of them.

The table tells it of every change, and of everything anew after a rebalance.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec

from review.cases.entries import (
    CaseState,
    Decided,
    Entry,
    Erasure,
    Held,
    Phase,
    Subject,
    Sweep,
    Unreadable,
    case_id_of,
)
from review.queue.live import LiveQueue
from review.queue.rules import Rules


class Limits(msgspec.Struct, frozen=True):
    """How long a claim, an undo window and a hand-over last, at this desk."""

    lease: timedelta
    undo: timedelta
    handover: timedelta

    def of(self, phase: Phase) -> timedelta:
        """How long what is open in this phase lasts at most."""
        return {"claimed": self.lease, "decided": self.undo}.get(phase, self.handover)


class Open(msgspec.Struct, frozen=True):
    """A case of which something ends at `due`: a lease, an undo window or a hand-over."""

    case_id: str
    phase: Phase
    holder: str | None
    due: datetime


class Present:
    """The queue of open cases, what is in somebody's hands, and what was not believed or not readable."""

    def __init__(
        self, limits: Limits, clock: Callable[[], datetime], queue_rules: Rules | None = None
    ) -> None:
        self._limits = limits
        self._clock = clock
        self.queue = LiveQueue(queue_rules or Rules(), clock)
        self.held: dict[bytes, Held] = {}
        self.unreadable: dict[bytes, Unreadable] = {}
        self._open: dict[bytes, Open] = {}

    def clear(self) -> None:
        """Forget everything: the table is about to tell all of it again."""
        self.queue.clear()
        for each in (self.held, self.unreadable, self._open):
            each.clear()

    def drop(self, key: bytes) -> None:
        """Forget one entry."""
        if (case_id := case_id_of(key)) is not None:
            self.queue.drop(case_id)
        self._drop(key)

    def _drop(self, key: bytes) -> None:
        for each in (self.held, self.unreadable, self._open):
            each.pop(key, None)

    def put(self, key: bytes, entry: Entry) -> None:
        """Note an entry as it is now."""
        self._drop(key)
        match entry:
            case CaseState():
                self.queue.put(entry)
                if (due := self._due(entry)) is not None:
                    holder = entry.lease.holder if entry.lease else None
                    self._open[key] = Open(entry.case.id, entry.phase, holder, due)
            case Held():
                self.held[key] = entry
            case Unreadable():
                self.unreadable[key] = entry
            case Decided():
                self.queue.drop(entry.case_id)
            case Subject() | Erasure() | Sweep():
                pass

    def overdue(self) -> list[str]:
        """The cases of which something should have ended by now, longest overdue first."""
        now = self._clock()
        over = sorted((case.due, case.case_id) for case in self._open.values() if case.due <= now)
        return [case_id for _, case_id in over]

    def of(self, person_id: str, phase: Phase | None = None) -> Iterator[str]:
        """The cases that this person holds, or has just decided."""
        for case in self._open.values():
            if case.holder == person_id and phase in {None, case.phase}:
                yield case.case_id

    def _due(self, state: CaseState) -> datetime | None:
        # Another desk may have set the time, by another clock. So nothing lasts longer here than it would if
        # it began now. What ends too early is only a claim, which can be made again.
        if state.due is None:
            return None
        return min(state.due, self._clock() + self._limits.of(state.phase))
