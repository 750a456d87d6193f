"""The consuming side on Apache Kafka: cooperative rebalancing, read-committed, never commits by itself.

The group rebalances by one of two protocols, which look the same from here: partitions are added and taken
away one by one. In the classic one the members elect one of them to assign; in KIP-848's the broker does.
"""

import struct
from collections.abc import Sequence
from typing import Any

import confluent_kafka as ck
import structlog

from worker.batch import Partition, Record
from worker.errors import BrokerError, RetryableError
from worker.kafka import Membership, RebalanceListener
from worker.kafka.client import log_error, make
from worker.kafka.fetched import consume, to_record
from worker.kafka.places import Places
from worker.settings import GroupProtocol

log = structlog.get_logger()

OFFSETS_TIMEOUT_S = 10.0
_NOTE = b"CGMDv2:"
_GROUP: dict[GroupProtocol, dict[str, Any]] = {
    "classic": {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
    },
    # Assignor, session timeout and heartbeat are the broker's: the client refuses to be told any.
    "consumer": {"group.protocol": "consumer"},
}
_REFUSED = {
    ck.KafkaError.TOPIC_AUTHORIZATION_FAILED,
    ck.KafkaError.GROUP_AUTHORIZATION_FAILED,
    ck.KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    ck.KafkaError.INVALID_SESSION_TIMEOUT,
    ck.KafkaError._AUTHENTICATION,
    ck.KafkaError._FATAL,  # e.g. fenced by another member with its group.instance.id; `fatal()` says no of it
}
_GONE = {ck.KafkaError.UNKNOWN_TOPIC_OR_PART, ck.KafkaError._UNKNOWN_TOPIC, ck.KafkaError._UNKNOWN_PARTITION}


class KafkaConsumer:
    """A `worker.kafka.Consumer` on Apache Kafka. One thread uses it; others may ask for `membership`."""

    def __init__(
        self,
        config: dict[str, Any],
        group: str,
        topic: str,
        listener: RebalanceListener,
        protocol: GroupProtocol = "classic",
    ) -> None:
        self._topic = topic
        self._listener = listener
        self._assigned: set[Partition] = set()
        self._rebalanced = False
        self._paused = False
        self._places = Places(self._end_of, self._start_of)
        self._consumer = make(
            ck.Consumer,
            {
                "group.id": group,
                "client.id": "mimamori-intake",
                **_GROUP[protocol],
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,  # the default of 500 ms is all of the latency at a trickle
                "queued.max.messages.kbytes": 65_536,
                "error_cb": log_error,
                **config,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            },
        )
        self._membership: Membership = None
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """See `worker.kafka.Consumer.poll`."""
        self._rebalanced = False
        messages = consume(self._consumer, limit, timeout_s)
        self._note_membership()
        records = [to_record(m) for m in messages if m.error() is None or not self._is_error(m)]
        if self._rebalanced:  # records fetched before a revocation that was served in this very call
            records = [r for r in records if (r.topic, r.partition) in self._assigned]
        records, again = self._places.check(records)
        for (topic, number), offset in again.items():
            log.warning("record_unreadable", topic=topic, partition=number, offset=offset - 1)
            self._consumer.seek(ck.TopicPartition(topic, number, offset))
        return records

    def pause(self) -> None:
        """See `worker.kafka.Consumer.pause`."""
        if not self._paused:
            self._paused = True
            self._consumer.pause(self._partitions())

    def resume(self) -> None:
        """See `worker.kafka.Consumer.resume`."""
        if self._paused:
            self._paused = False
            self._consumer.resume(self._partitions())

    def rewind(self) -> None:
        """See `worker.kafka.Consumer.rewind`."""
        partitions = self._partitions()
        if not partitions:
            return
        self._places.forget(self._assigned)
        try:
            committed = self._consumer.committed(partitions, timeout=OFFSETS_TIMEOUT_S)
            failed = next((position.error for position in committed if position.error), None)
            for position in [] if failed else committed:
                if position.offset < 0:  # nothing committed yet
                    position.offset = ck.OFFSET_BEGINNING
                self._consumer.seek(position)
        except ck.KafkaException as error:
            failed = error.args[0]
        if failed:
            raise RetryableError(f"cannot rewind: {failed.name()}")

    def membership(self) -> Membership:
        """See `worker.kafka.Consumer.membership`.

        A note from the polling thread: the client lets one thread in at a time, and another one that
        asks while `poll` waits can be kept waiting for minutes.
        """
        return self._membership

    def lag(self) -> int:
        """See `worker.kafka.Consumer.lag`. Read from what fetches brought: no request is made.

        A partition of which nothing was read yet counts as none: whatever it holds is about to be read.
        """
        total = 0
        for partition in self._consumer.position(self._partitions()):
            _, high = self._consumer.get_watermark_offsets(partition, cached=True)
            if partition.offset >= 0:
                total += max(0, high - partition.offset)
        return total

    def close(self) -> None:
        """See `worker.kafka.Consumer.close`."""
        self._consumer.close()

    def _note_membership(self) -> None:
        # Kafka takes offsets from "no member" unchecked, and the client forgets its member id on a thread of
        # its own: only a note that was whole before and after counts, of a generation that the broker gave.
        try:
            member = self._consumer.memberid()
            note = self._consumer.consumer_group_metadata()
            whole = member and member == self._consumer.memberid()
        except RuntimeError:  # in a rebalance that `close` serves, the client may have left the group already
            return
        if whole and _generation(note) > 0:
            self._membership = note

    def _end_of(self, place: Partition) -> int:
        _, end = self._consumer.get_watermark_offsets(ck.TopicPartition(*place), cached=True)
        return int(end)

    def _start_of(self, place: Partition) -> int:
        """Where reading a partition begins. Raises BrokerError: Kafka does not say."""
        asked = [ck.TopicPartition(*place)]
        try:
            (position,) = self._consumer.committed(asked, timeout=OFFSETS_TIMEOUT_S)
            if position.offset >= 0:
                return int(position.offset)
            low, _ = self._consumer.get_watermark_offsets(asked[0], timeout=OFFSETS_TIMEOUT_S)
        except ck.KafkaException as error:
            raise BrokerError(f"cannot tell where {place[0]} is read from: {error.args[0].name()}") from None
        return int(low)

    def _partitions(self) -> list[ck.TopicPartition]:
        return [ck.TopicPartition(topic, number) for topic, number in sorted(self._assigned)]

    def _is_error(self, message: ck.Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() in _GONE:
            raise BrokerError(f"topic {self._topic} is not there: run `mimamori topics apply`")
        if error.fatal() or error.code() in _REFUSED:
            raise BrokerError(f"cannot read {self._topic}: {error.str()}")
        log.warning("poll_error", code=error.name())
        return True

    def _on_assign(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        self._assigned |= _names(partitions)
        self._places.forget(_names(partitions))
        consumer.incremental_assign(partitions)
        # librdkafka remembers a pause through unassign and assign: a partition that comes back to a worker
        # that was paused when it left would stay paused for ever.
        (consumer.pause if self._paused else consumer.resume)(partitions)
        self._note_membership()
        self._listener.assigned(sorted(_names(partitions)))

    def _on_revoke(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        self._note_membership()  # already of the new generation, while the partitions are still ours
        self._listener.revoked(sorted(_names(partitions)))
        self._assigned -= _names(partitions)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._rebalanced = True
        self._listener.lost(sorted(_names(partitions)))
        self._assigned -= _names(partitions)
        consumer.incremental_unassign(partitions)


def _generation(note: bytes) -> int:
    """Read the generation from librdkafka's serialised membership: a magic of seven bytes, then an int32.

    -1 where it is none: no member yet, or written by a librdkafka that does it otherwise.
    """
    return struct.unpack_from("=i", note, len(_NOTE))[0] if note.startswith(_NOTE) else -1


def _names(partitions: Sequence[ck.TopicPartition]) -> set[Partition]:
    return {(p.topic, p.partition) for p in partitions}
