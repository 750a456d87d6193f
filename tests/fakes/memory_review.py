"""A whole desk without Kafka, as the web server sees it: the memory desk, by the clock and the settings."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from review.audit.log import Asked, Found, Seen
from review.audit.trail import Trail, revealed
from review.cases.state import CaseState
from review.erasing import Erased, Erasing
from review.errors import DeskError, NotAuditedError
from review.kafka.cluster import Cluster
from review.people import Person
from review.present import Limits
from review.queue.rules import rules_of
from review.retention.forgetting import What, erasure_id
from review.retention.holdings import Holding, by_definition
from review.settings import ReviewSettings
from review.stepping import utc_now
from schemas.events import AuditRecord, CaseEvent
from schemas.topics import load_topics
from tests.fakes.memory_desk import MemoryDesk


class MemoryReview(MemoryDesk):
    """What the web server needs of a `ReviewApp`."""

    def __init__(self, **settings: Any) -> None:
        read = {"store": "memory", "port": 0, "health_port": 0, **settings}
        self.settings = ReviewSettings.model_validate(read)
        self.cluster = Cluster(1, 4, 1)
        self.held_partitions = 4
        self.ready = True
        self.elsewhere: list[str] = []  # the cases that another desk erases
        self.silent = False  # whether one partition answers no erasure
        self.fault: str | None = None
        self.audit: list[AuditRecord] = []
        super().__init__(
            claims=self.settings.claims,
            model_view=self.settings.model_view,
            conversation_context=self.settings.conversation_context,
            before_reveal=self._before_reveal,
            limits=Limits(
                timedelta(seconds=self.settings.lease_seconds),
                timedelta(seconds=self.settings.undo_seconds),
                timedelta(seconds=self.settings.handover_seconds),
                timedelta(seconds=self.settings.second_reader_seconds),
            ),
            clock=utc_now,
            queue_rules=rules_of(self.settings),
        )
        self.trail = Trail(self._write_down, confirm_seconds=5, refused=self.metrics.not_audited.inc)
        self.erasing = Erasing(self.forgetting, self._held_by_kafka, self._ask)

    async def _before_reveal(self, state: CaseState, person: Person, beside: str | None) -> None:
        await revealed(self.trail)(state, person, beside)

    async def _held_by_kafka(self) -> list[Holding]:
        if self.down:
            raise DeskError("no broker")
        return [held for topic in load_topics() if (held := by_definition(topic, "mimamori."))]

    async def _ask(self, what: What, wanted: str, person: Person) -> Erased:
        step = CaseEvent(f"erasure:{uuid4()}", erasure_id(what, wanted), 0, "erased", person.id, utc_now())
        before = len(self.erased)
        await self.deliver(step)
        cases = [case for case in self.erased[before:] if case is not None]
        return Erased(step.at, dict.fromkeys([*cases, *self.elsewhere], what), [3] if self.silent else [])

    async def _write_down(self, record: AuditRecord) -> None:
        if self.down:
            raise ConnectionError("no broker")
        self.audit.append(record)

    async def audit_log(self, asked: Asked) -> Found:
        """What was written down, all of it signed."""
        if self.down:
            raise DeskError("no broker")
        return Found([Seen(record, None) for record in self.audit if asked.wants(record)], 0)

    def no_audit(self) -> None:
        """From now on, no reading can be recorded."""

        async def refuse(_state: CaseState, _person: Person, _beside: str | None) -> None:
            raise NotAuditedError("Kafka did not take it")

        self.desk._before_reveal = refuse
