"""Everything that speaks to Apache Kafka. Only this package imports confluent_kafka.

The stations use only the protocols below. The tests run one contract suite against both implementations:
Apache Kafka, and a small in-memory broker.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from worker.kafka.record import Offsets, Outbound, Partition, Record
from worker.telemetry.labels import ResetReason

# A consumer's membership of its group in one generation. It is opaque: a Consumer makes it, a Producer reads
# it.
Membership = Any


class Restart(msgspec.Struct, frozen=True):
    """A partition that is read from another offset than the one where its group left it.

    `left` is the offset that should have been read next, `begins` the one that is read next instead. `unread`
    counts the records between them that were deleted before any worker of the group read them, without those
    that were reported before. The reasons: retention, the records at `left` are deleted; made_again, `left`
    belongs to an earlier topic of this name; truncated, `left` lies beyond the partition's end.
    """

    partition: Partition
    reason: ResetReason
    left: int
    begins: int
    unread: int = 0


class Look(msgspec.Struct, frozen=True):
    """What a consumer saw when it last looked at its group, and what it does about it.

    `without_reader` counts the topic's partitions that no member of the group reads. `joins_anew`: this
    consumer leaves the group and joins it again, so that they are given to somebody. `fetched_anew` counts
    its own partitions that its client had silently stopped to fetch.
    """

    without_reader: int = 0
    joins_anew: bool = False
    fetched_anew: int = 0


class RebalanceListener(Protocol):
    """What a consumer reports of rebalances. `Consumer.poll` makes these calls, on the polling thread."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Partitions were assigned in addition."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Partitions will be given up when this returns: finish their batches first, or end their epoch."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Partitions already belong to another consumer: their batches can no longer be committed."""

    def restarted(self, restarts: Sequence[Restart]) -> None:
        """Partitions are not read on from where the group left them. Batches in flight may still commit."""

    def looked(self, look: Look) -> None:
        """The consumer has looked at its group. Where it joins anew, `revoked` follows for all it has."""


class Consumer(Protocol):
    """Reads committed records of its assigned partitions, each partition in offset order.

    Only `Producer.commit` commits offsets, with one exception: where a partition's committed offset is no
    longer valid, the consumer commits the offset that it starts from.
    """

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return up to `limit` records, and wait up to `timeout_s` for the first. Serves rebalances.

        It never returns a record of a partition that is not assigned at that moment. A partition is read from
        where the group left it, or from its start: see `Restart`.
        Raises FatalError where the group or topic cannot be read at all, or the topic was deleted or made
        again.
        """

    def pause(self) -> None:
        """Stop fetching, so that `poll` only keeps the membership alive. Idempotent."""

    def resume(self) -> None:
        """Fetch again. Idempotent."""

    def rewind(self) -> None:
        """Go back to every assigned partition's committed offset, or its start. Raises RetryableError."""

    def membership(self) -> Membership:
        """The group membership as of the last poll or rebalance. Any thread may call this."""

    def lag(self) -> int:
        """The number of records between the position and the last known end, over the assigned partitions."""

    def silence_s(self) -> float:
        """For how long Kafka has left this consumer's questions unanswered; 0 where it answers.

        It asks one about once a second while it polls. Any thread may call this.
        """

    def close(self) -> None:
        """Leave the group."""


class Producer(Protocol):
    """Writes one transaction at a time."""

    def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        """Produce every record and commit the offsets in one transaction: all or nothing.

        Raises RetryableError: the transaction was aborted and nothing is visible, so rewind. FatalError: the
        producer was fenced, or the broker does not come back. The committed offsets then show, after a
        restart, whether the transaction was committed.
        """

    def close(self) -> None:
        """Abort an open transaction, and close the connection."""


class InHandTopic(Protocol):
    """Keeps the newest note of each partition, where every worker of this group can read it."""

    def read(self, partitions: Sequence[Partition]) -> dict[Partition, bytes]:
        """The notes on `partitions`, including every note that was settled before this call.

        Raises RetryableError: no answer in time. BrokerError: the topic cannot be read at all.
        """

    def write(self, notes: Mapping[Partition, bytes]) -> None:
        """Send notes in order, without waiting for their delivery."""

    def settle(self) -> None:
        """Wait until Kafka has everything that was sent. Raises BrokerError: it was not delivered."""

    def close(self) -> None:
        """Wait a moment for the delivery of what was sent."""
