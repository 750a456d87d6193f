"""What the desk knows by heart of the table's entries, so that no request reads all of them.

The table tells it of every change, and of everything anew after a rebalance.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from review.cases.conversations import Conversations
from review.cases.entries import Entry, Erasure, Subject, Sweep, Unreadable
from review.cases.expiry import Expiry
from review.cases.held import Held
from review.cases.keys import case_id_of, case_key
from review.cases.remains import Decided, Summary, summary
from review.cases.state import CaseState, Phase
from review.cases.views import shown_id
from review.queue.live import LiveQueue
from review.queue.rules import Rules


class Limits(msgspec.Struct, frozen=True):
    """How long a claim, an undo window, a hand-over and the wait for a second reader last at this desk."""

    lease: timedelta
    undo: timedelta
    handover: timedelta
    second_reader: timedelta = timedelta(hours=4)

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
        self,
        limits: Limits,
        clock: Callable[[], datetime],
        queue_rules: Rules | None = None,
        *,
        double_share: float = 0.0,
        keep: timedelta = timedelta(days=90),
    ) -> None:
        self._limits = limits
        self._double_share = double_share
        self._clock = clock
        self.queue = LiveQueue(queue_rules or Rules(), clock)
        self.expiry = Expiry(keep)
        self.held: dict[bytes, Held] = {}
        self.unreadable: dict[bytes, Unreadable] = {}
        self.settled: dict[bytes, Summary] = {}
        self.conversations = Conversations()
        # Where golden items are kept, by the ids that people know them by.
        self.golden: dict[str, bytes] = {}
        self._open: dict[bytes, Open] = {}

    def clear(self) -> None:
        """Forget everything: the table is about to tell all of it again."""
        self.queue.clear()
        self.expiry.clear()
        self.conversations.clear()
        self.golden.clear()
        for each in (self.held, self.unreadable, self.settled, self._open):
            each.clear()

    def drop(self, key: bytes) -> None:
        """Forget one entry."""
        self.expiry.drop(key)
        self.conversations.drop(key)
        self.golden = {shown: kept for shown, kept in self.golden.items() if kept != key}
        if (case_id := case_id_of(key)) is not None:
            self.queue.drop(case_id)
        self._drop(key)

    def _drop(self, key: bytes) -> None:
        for each in (self.held, self.unreadable, self.settled, self._open):
            each.pop(key, None)

    def put(self, key: bytes, entry: Entry) -> None:
        """Note an entry as it is now."""
        self.expiry.put(key, entry)
        self.conversations.put(key, entry)
        self._drop(key)
        match entry:
            case CaseState():
                self.queue.put(entry)
                if entry.case.kind == "golden":
                    self.golden[shown_id(entry.case)] = key
                if entry.phase == "settled":
                    self.settled[key] = summary(entry)
                if (due := self._due(entry)) is not None:
                    holder = entry.lease.holder if entry.lease else None
                    self._open[key] = Open(entry.case.id, entry.phase, holder, due)
            case Held():
                self.held[key] = entry
            case Unreadable():
                self.unreadable[key] = entry
            case Decided():
                self.queue.drop(entry.case_id)
                if entry.summary is not None:
                    self.settled[key] = entry.summary
            case Subject() | Erasure() | Sweep():
                pass

    def wants_second_reader(self, state: CaseState) -> bool:
        """Whether a settled case is one of the random share that somebody else reads as well, blind.

        It follows from the case's id and the moment when the decision was settled, so that a desk that starts
        again chooses the same ones, and no reviewer knows beforehand which case somebody else will read.
        """
        once = state.phase == "settled" and len(state.judgements) == 1 and state.case.kind != "golden"
        return once and state.case.text is not None and _draw(state) < self._double_share

    def overdue(self) -> list[str]:
        """The cases of which something should have ended by now, longest overdue first."""
        now = self._clock()
        over = sorted((case.due, case.case_id) for case in self._open.values() if case.due <= now)
        return [case_id for _, case_id in over]

    def is_overdue(self, case_id: str) -> bool:
        """Whether something of this case should have ended by now."""
        case = self._open.get(case_key(case_id))
        return case is not None and case.due <= self._clock()

    def of(self, person_id: str, phase: Phase | None = None) -> Iterator[str]:
        """The cases that this person holds, or has just decided."""
        for case in self._open.values():
            if case.holder == person_id and phase in {None, case.phase}:
                yield case.case_id

    def _due(self, state: CaseState) -> datetime | None:
        if awaits_second_reader(state):
            asked = next(
                (step.at for step in reversed(state.history) if step.action in _ASKING), self._clock()
            )
            return min(asked, self._clock()) + self._limits.second_reader
        # Another desk may have set the time, by another clock. So nothing lasts longer here than it would if
        # it began now. What ends too early is only a claim, which can be made again.
        if state.due is None:
            return self._clock() if self.wants_second_reader(state) else None
        return min(state.due, self._clock() + self._limits.of(state.phase))


_ASKING: Final = frozenset({"referred", "reopened", "appealed"})


def awaits_second_reader(state: CaseState) -> bool:
    """Whether a case waits for anyone who has not judged it. There may be nobody: then a lead is asked."""
    return state.phase == "waiting" and state.stage == "second" and state.reader is None


def _draw(state: CaseState) -> float:
    """A number from 0 to 1 that follows from a settled case."""
    at = state.history[-1].at.isoformat() if state.history else ""
    digest = hashlib.blake2b(
        f"{state.case.id} {at}".encode(), digest_size=8, person=b"second-reader"
    ).digest()
    return int.from_bytes(digest) / 2**64
