"""Decides where to start reading a partition: where its group left it, or elsewhere, which is then reported.

    nothing committed                    its start
    committed in this topic              there
    committed in an earlier topic        its start: "made_again"      (told by the id in the offset's note)
    … but Kafka has no such offset:
      records there are deleted          the first that is left: "retention"; the deleted ones are counted
      it lies beyond the end             its start: "truncated", since it is unknown what had those offsets

An end that lies before what was read is believed once it was answered for BELIEVED_AFTER_S seconds on end: a
broker that is cut off from the others, and does not know yet that it leads no more, has an older end.

The client's own `auto.offset.reset` would do the same without a report, so it is set to raise an error. Such
a start is committed before anything is read, so that the same gap is not found again.
"""

import time
from contextlib import suppress
from typing import Any, Final, NamedTuple

import confluent_kafka as ck
import structlog

from worker.errors import BrokerError, RetryableError
from worker.kafka import Restart, offset_note
from worker.kafka.offset_note import OffsetNote
from worker.kafka.record import Partition
from worker.kafka.topic_watch import TopicWatch

log = structlog.get_logger()

REFRESH_TIMEOUT_S = 2.0
# Longer than Kafka takes to elect another leader, and the client to hear of it.
BELIEVED_AFTER_S: Final = 30.0
_ASKED_EVERY_S: Final = 60.0  # at least, while it is doubted; a round of questions may take a while


class _Doubt(NamedTuple):
    """Kafka has said that a partition ends before the offset `at`: first and last at these times."""

    at: int
    since: float
    asked: float


class Starts:
    """Finds the starts for one consumer of one topic. Used by its polling thread."""

    def __init__(self, consumer: ck.Consumer, config: dict[str, Any], topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._watch = TopicWatch(config, topic)
        self._committed: dict[Partition, int] = {}  # committed offsets after which no record has come yet
        self._counted: dict[Partition, range] = {}  # unread records that were reported already
        self._doubts: dict[Partition, _Doubt] = {}
        self.note = OffsetNote()

    @property
    def partitions(self) -> int:
        """The number of the topic's partitions, as of the last answer; 0 before the first."""
        return self._watch.partitions

    @property
    def silence_s(self) -> float:
        """See `worker.kafka.Consumer.silence_s`."""
        return self._watch.silence_s

    def check(self) -> None:
        """Raise BrokerError where the topic is known to be deleted or replaced.

        Waits only where partitions were added: then the client refreshes its metadata, and the group
        rebalances.
        """
        before = self._watch.partitions
        self._compare(self._watch.glance())
        if 0 < before < self._watch.partitions:
            log.info("partitions_added", topic=self._topic, partitions=self._watch.partitions)
            with suppress(ck.KafkaException):  # the client then learns of them at its next refresh
                # Asks for all topics, since refreshing one alone does not start a rebalance.
                self._consumer.list_topics(timeout=REFRESH_TIMEOUT_S)

    def left(self, partitions: list[ck.TopicPartition], timeout_s: float) -> list[ck.TopicPartition]:
        """The group's committed offsets, with their notes. Raises RetryableError, BrokerError."""
        topic_id = self._watch.topic_id(timeout_s)
        self._compare(topic_id)
        self.note = OffsetNote(topic_id or self.note.topic_id)
        try:
            committed = self._consumer.committed(partitions, timeout=timeout_s)
        except ck.KafkaException as error:
            raise RetryableError(f"cannot read committed offsets: {error.args[0].name()}") from None
        if failed := next((place.error for place in committed if place.error), None):
            raise RetryableError(f"cannot read committed offsets: {failed.name()}")
        return committed

    def begin(self, committed: list[ck.TopicPartition]) -> tuple[list[ck.TopicPartition], list[Restart]]:
        """Decide from the result of `left` where to begin, and what to report."""
        begin: list[ck.TopicPartition] = []
        restarts: list[Restart] = []
        for place in committed:
            partition = place.topic, place.partition
            self._committed.pop(partition, None)
            offset = place.offset
            if offset < 0:
                offset = ck.OFFSET_BEGINNING
            elif self._is_of_another_topic(place.metadata):
                restarts.append(Restart(partition, "made_again", offset, 0))
                self._settle(partition, 0)
                offset = self._committed[partition] = 0
            else:
                self._committed[partition] = offset
            begin.append(ck.TopicPartition(*partition, offset))
        return begin, restarts

    def instead_of(self, missing: ck.TopicPartition, timeout_s: float) -> tuple[int, Restart | None]:
        """Where to read on when Kafka lacks the offset `missing`. Raises RetryableError, BrokerError."""
        self._compare(self._watch.topic_id(timeout_s))
        partition, at = (missing.topic, missing.partition), missing.offset
        try:
            low, high = self._consumer.get_watermark_offsets(
                ck.TopicPartition(*partition), timeout_s, cached=False
            )
        except ck.KafkaException as error:
            raise RetryableError(f"cannot look for what is left: {error.args[0].name()}") from None
        if low <= at <= high:  # it was missing only for a moment
            self._doubts.pop(partition, None)
            return at, None
        if at > high and not self._is_believed(partition, at):
            raise RetryableError(f"partition {missing.partition} is said to end at {high}, before {at}")
        untouched = self._committed.get(partition) == at
        if untouched:
            self._settle(partition, low)
            self._committed[partition] = low
        if at > high and untouched:
            return low, Restart(partition, "truncated", at, low)
        if at > high:
            raise BrokerError(
                f"{self._topic}, partition {missing.partition}, ends at {high}, and was read up to {at}: "
                "Kafka has lost records; start this worker again, and it goes on from what is committed"
            )
        return low, Restart(partition, "retention", at, low, self._unread(partition, range(at, low)))

    def _is_believed(self, partition: Partition, at: int) -> bool:
        now = time.monotonic()
        before = self._doubts.get(partition)
        if before is None or before.at != at or now - before.asked > _ASKED_EVERY_S:
            before = _Doubt(at, now, now)
        self._doubts[partition] = before._replace(asked=now)
        return now - before.since >= BELIEVED_AFTER_S

    def _is_of_another_topic(self, metadata: str | None) -> bool:
        before, now = offset_note.read(metadata).topic_id, self.note.topic_id
        return bool(before and now and before != now)

    def _compare(self, topic_id: str) -> None:
        if topic_id and self.note.topic_id and topic_id != self.note.topic_id:
            raise BrokerError(
                f"topic {self._topic} was deleted and made again (its id was {self.note.topic_id}, and is "
                f"{topic_id}): start this worker again, and it is read from its start"
            )

    def _unread(self, partition: Partition, gone: range) -> int:
        """How many of `gone` were not reported before: after an abort, the same gap is met again."""
        known = self._counted.get(partition, range(0))
        self._counted[partition] = gone
        both = range(max(known.start, gone.start), min(known.stop, gone.stop))
        return len(gone) - len(both)

    def _settle(self, partition: Partition, offset: int) -> None:
        """Commit the start of `partition`, of which nothing is in flight."""
        place = ck.TopicPartition(*partition, offset, offset_note.write(self.note))
        try:
            self._consumer.commit(offsets=[place], asynchronous=False)
        except ck.KafkaException as error:  # the next worker then finds and reports the gap again
            log.warning("start_not_committed", code=error.args[0].name())
