"""A desk without Kafka: the real Desk, journal, agents and fold, over a log and a table in memory.

Whatever is produced comes back through the agents at once, in order, as it does from a broker. `lag` holds
back what is produced until `catch_up`; a `deaf` desk does not hear what the broker was told to forget, and a
`mute` one cannot tell it; steps on `lost` cases never come back; `now` is the clock. The table's writes wait
while `table.acknowledged` is clear, and those of the audit log while `auditing` is.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import msgspec

from review.cases.entries import Entry
from review.cases.form import Form
from review.cases.keys import case_key
from review.cases.state import CaseState
from review.cases.windows import Sighting
from review.desk import Desk
from review.journal import Journal
from review.kafka.agents import Agents
from review.kafka.forgetting import Forgetting
from review.kafka.intake import Intake
from review.kafka.repeats import Repeats
from review.kafka.table import ChangedMeanwhileError, Watcher
from review.kafka.traces import CaseTraces
from review.metrics import DeskMetrics
from review.people import DESK, Person, Role
from review.present import Limits, Present
from review.queue.rules import Rules
from review.retention.due import Due
from review.sight import BeforeReveal, unrecorded
from schemas.codec import encode
from schemas.events import CaseEvent, ReviewCase, ReviewDecision
from schemas.headers import Pairs, Trace
from schemas.vocabulary import Finding
from tracing.spans import Tracer

START = datetime(2026, 11, 26, 9, tzinfo=UTC)
KEEP = timedelta(hours=24)
LAGS = (timedelta(hours=1), timedelta(hours=6))
LIMITS = Limits(timedelta(minutes=10), timedelta(seconds=60), timedelta(hours=1))


def person(name: str, *roles: Role) -> Person:
    """Somebody who is signed in; a reviewer unless it is said."""
    return Person(name, name.title(), frozenset(roles or ("reviewer",)))


class Unsigned:
    """Signs nothing and believes everything."""

    def sign(self, _topic: str, _key: bytes, _value: bytes) -> tuple[str, bytes]:
        """An empty signature."""
        return "mimamori-signature", b""

    def fault(
        self, _topic: str, _key: bytes | None, _value: bytes | None, _headers: Pairs | None
    ) -> str | None:
        """Never any."""
        return None


class MemoryTable:
    """Entries in a dict. As in the real table, one is there at once, and Kafka acknowledges it later."""

    def __init__(self, *watchers: Watcher) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.compacted: list[int] = []
        self.acknowledged = _set()
        self._watchers = watchers

    def get(self, key: bytes) -> Entry | None:
        return self.entries.get(key)

    def items(self) -> Iterator[tuple[bytes, Entry]]:
        return iter(list(self.entries.items()))

    async def put(self, key: bytes, entry: Entry, *, over: Entry | None) -> None:
        if self.entries.get(key) != over:
            raise ChangedMeanwhileError
        self.entries[key] = entry
        await self.acknowledged.wait()
        if self.entries.get(key) is not entry:
            return
        for watcher in self._watchers:
            watcher.put(key, entry)

    async def prune(self, keys: list[bytes]) -> None:
        for key in keys:
            self.entries.pop(key, None)
            for watcher in self._watchers:
                watcher.drop(key)

    def all_keys(self) -> Iterator[bytes]:
        return iter(list(self.entries))

    async def compact(self, partition: int) -> None:
        self.compacted.append(partition)


class MemoryDesk:
    """Everything of a desk but Kafka and the pages."""

    def __init__(
        self,
        *,
        claims: int = 1,
        model_view: str = "after",
        confirm_seconds: float = 5.0,
        limits: Limits = LIMITS,
        clock: Callable[[], datetime] | None = None,
        queue_rules: Rules | None = None,
        double_share: float = 0.0,
        publish_notes: bool = False,
        conversation_context: int = 0,
        before_reveal: BeforeReveal = unrecorded,
        tracer: Tracer | None = None,
    ) -> None:
        self.now = START
        self.clock = clock or (lambda: self.now)
        self.log: list[CaseEvent] = []
        self.published: list[ReviewDecision] = []
        self.caused_by: list[Trace | None] = []  # of those
        self.told: list[Sighting] = []
        self.lag = False
        self.down = False
        self.sent = asyncio.Event()
        self.deaf = False
        self.mute = False
        self.lost: set[str] = set()
        self.audited: list[str] = []
        self.auditing = _set()
        self.writes_down = asyncio.Event()
        self._late: list[CaseEvent] = []
        self.present = Present(limits, self.clock, queue_rules, double_share=double_share)
        self.due = Due(KEEP, LAGS)
        self.forgotten: list[bytes] = []
        self.erased: list[str | None] = []
        self.table = MemoryTable(self.present, self.due)
        journal = Journal(self._produce, confirm_seconds=confirm_seconds)
        rules = SimpleNamespace(
            claims=claims, model_view=model_view, conversation_context=conversation_context
        )
        self.metrics = DeskMetrics()
        repeats = Repeats(self.table, self._tell, self._produce, least=3, clock=self.clock)
        self.forgetting = Forgetting(
            self.table,
            self.due,
            self._tell_broker,
            self._erased,
            self.metrics,
            keep=KEEP,
            lags=LAGS,
            clock=self.clock,
        )
        self.agents = Agents(
            self.table,
            self._publish,
            journal.came_back,
            Intake(self.table, Unsigned(), self.metrics),
            self.forgetting,
            self._audited,
            repeats,
            CaseTraces(tracer, "mimamori.review", "mimamori.review-decisions"),
            expiry=self.present.expiry,
            publish_notes=publish_notes,
        )
        self.desk = Desk(
            self.table, self.present, journal, rules, limits, clock=self.clock, before_reveal=before_reveal
        )

    async def open(self, *cases: ReviewCase) -> None:
        """Cases arrive."""
        for case in cases:
            await self.receive(record("review-cases", case.id, encode(case)))

    async def deliver(self, *events: CaseEvent | ReviewDecision) -> None:
        """Events arrive, whoever has written them."""
        for event in events:
            topic = "case-events" if isinstance(event, CaseEvent) else "review-decisions"
            await self.receive(record(topic, event.case_id, encode(event)))

    async def receive(self, event: Any) -> None:
        """The agent of its topic takes a record."""
        handle = {
            "review-cases": self.agents.on_case,
            "case-events": self.agents.on_step,
            "review-decisions": self.agents.on_decision,
            "case-subjects": self.agents.on_subject,
        }[event.message.topic]
        while True:
            try:
                return await handle(event)
            except ChangedMeanwhileError:
                continue

    async def catch_up(self) -> None:
        """What was held back arrives."""
        late, self._late = self._late, []
        await self.deliver(*late)

    async def pass_time(self, seconds: float) -> None:
        """The clock goes on, and the desk looks at it."""
        self.now += timedelta(seconds=seconds)
        await self.desk.end_overdue()
        await self.forgetting.tell_what_is_due()

    async def settle(self, case_id: str) -> None:
        """A decision can be undone no more, whatever the clock says."""
        state = self.table.get(case_key(case_id))
        assert isinstance(state, CaseState)
        step = CaseEvent(
            f"settled:{case_id}",
            case_id,
            state.revision,
            "settled",
            DESK,
            self.clock(),
            decision=state.pending,
        )
        await self.deliver(step)

    async def decide(self, case: ReviewCase, who: Person, finding: Finding, **fields: Any) -> None:
        """Claim and decide."""
        claim = await self.desk.claim(case.id, who)
        await self.desk.decide(case.id, Form(finding, claim.lease, **fields), who)

    async def _produce(self, event: CaseEvent, _partition: int) -> object:
        if self.down:
            raise ConnectionError("no broker")
        self.log.append(event)
        self.sent.set()
        if event.case_id in self.lost:
            return None
        if self.lag:
            self._late.append(event)
        else:
            await self.deliver(event)
        return None

    async def _tell(self, seen: Sighting) -> object:
        self.told.append(seen)
        await self.receive(record("case-subjects", seen.digest, msgspec.json.encode(seen)))
        return None

    async def _tell_broker(self, key: bytes, partition: int) -> object:
        if self.mute:
            raise ConnectionError
        self.forgotten.append(key)
        if self.deaf:
            return None
        await self.receive(record("review-cases", key.decode(), None, partition=partition))
        return None

    async def _audited(self, step: CaseEvent, _before: CaseState | None) -> None:
        self.audited.append(step.action)
        self.writes_down.set()
        await self.auditing.wait()

    async def _erased(self, _step: CaseEvent, _partition: int, case: ReviewCase | None, _detail: str) -> None:
        self.erased.append(case.id if case else None)
        self.writes_down.set()
        await self.auditing.wait()

    async def _publish(self, decision: ReviewDecision, _partition: int, trace: Trace | None) -> object:
        self.published.append(decision)
        self.caused_by.append(trace)
        return None


def _set() -> asyncio.Event:
    """An event that has happened."""
    event = asyncio.Event()
    event.set()
    return event


_offsets = count()


def record(
    topic: str, key: str, value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), partition: int = 0
) -> Any:
    """A consumed record, as Faust's agents get it."""
    message = SimpleNamespace(
        topic=topic,
        partition=partition,
        offset=next(_offsets),
        key=key.encode(),
        value=value,
        headers=list(headers),
    )
    return SimpleNamespace(message=message, value=value, key=key.encode())
