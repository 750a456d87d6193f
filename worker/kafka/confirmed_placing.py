"""Placing for the protocol `consumer`: nothing is read before the broker has confirmed whose it is.

See docs/decisions/0024-a-partition-is-confirmed.md.
"""

import time

import confluent_kafka as ck
import structlog

from worker.kafka import RebalanceListener
from worker.kafka.confirmation import Confirmation
from worker.kafka.ends import Ends
from worker.kafka.fetching import Fetching, positions
from worker.kafka.membership import NotedMembership
from worker.kafka.placing import PLACE_PAUSE_S, PLACE_TIMEOUT_S, Placing
from worker.kafka.record import Partition
from worker.kafka.starts import Starts

log = structlog.get_logger()


class ConfirmedPlacing(Placing):
    """Assigned partitions, and those that are read anew after a rewind, are confirmed and then placed."""

    def __init__(
        self,
        fetching: Fetching,
        ends: Ends,
        topic: str,
        listener: RebalanceListener,
        starts: Starts,
        noted: NotedMembership,
        confirmation: Confirmation,
    ) -> None:
        super().__init__(fetching, ends, topic, listener, starts, noted)
        self._confirmation = confirmation

    @property
    def awaits_answer(self) -> bool:
        """See Placing."""
        return bool(self._unplaced)

    def take(self, names: set[Partition]) -> None:
        """See Placing."""
        self._assigned |= names
        # At once, without a question to Kafka: until it is called, heartbeats may deny what was given.
        self._fetching.begin(positions(names, ck.OFFSET_BEGINNING))
        self._unplace(names)

    def give_up(self, names: set[Partition]) -> None:
        """See Placing."""
        self._confirmation.forget(names)
        super().give_up(names)

    def rewind(self) -> None:
        """See Placing."""
        self._unplace(self.assigned)

    def _unplace(self, names: set[Partition]) -> None:
        self._confirmation.forget(names)
        self._noted.note()
        super()._unplace(names)

    def _place_new(self) -> None:
        if (confirmed := self._confirmation.of(self._unplaced)) is None:
            return
        if confirmed.denied:
            log.warning("partitions_not_ours", topic=self._topic, partitions=confirmed.denied)
            self._place_at = time.monotonic() + PLACE_PAUSE_S
        if confirmed.partitions:
            for position in self._find(confirmed.partitions, PLACE_TIMEOUT_S):
                self._begin(position)
                self._confirmation.held.take([(position.topic, position.partition)], confirmed.group)
            self._noted.note()
            self._fetching.at_once(confirmed.partitions)
