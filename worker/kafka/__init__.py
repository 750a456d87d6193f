"""Apache Kafka, and the only package that imports confluent_kafka.

The stations know the protocols below; the tests run one contract suite on them, against Apache Kafka
and against a small in-memory broker.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from worker.kafka.record import Offsets, Outbound, Partition, Record
from worker.telemetry.labels import ResetReason

# The consumer's place in its group at one generation: opaque, made by a Consumer, read by a Producer.
Membership = Any


class Restart(msgspec.Struct, frozen=True):
    """A partition that is not read on from where its group left it.

    `left` is the offset that was to be read next, `begins` the one that is. `unread` counts the records
    between them that were deleted before any worker of the group read them, where it is not known already.

    retention: the records at `left` are deleted. made_again: `left` is of an earlier topic of this name.
    truncated: `left` lies beyond the partition's end.
    """

    partition: Partition
    reason: ResetReason
    left: int
    begins: int
    unread: int = 0


class RebalanceListener(Protocol):
    """Called from inside `Consumer.poll`, on the polling thread."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Partitions were added."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Partitions will go when this returns: finish their batches, or end their epoch."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Partitions already belong to someone else: nothing of theirs can be committed."""

    def restarted(self, restarts: Sequence[Restart]) -> None:
        """Partitions are read from elsewhere than the group left them. What is in flight may commit."""


class Consumer(Protocol):
    """Reads committed records of its assigned partitions, each partition in offset order.

    Offsets are committed by `Producer.commit` alone, but for the start of a partition whose committed offset
    stands for nothing any more.
    """

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Up to `limit` records, waiting `timeout_s` for the first. Serves rebalances.

        Never returns a record of a partition that is not assigned when it returns. Each is read from where
        the group left it, or from its start: see `Restart`.
        Raises FatalError where the group or topic cannot be read at all, is deleted, or made again meanwhile.
        """

    def pause(self) -> None:
        """Stop fetching; `poll` then only keeps the membership alive. Idempotent."""

    def resume(self) -> None:
        """Fetch again. Idempotent."""

    def rewind(self) -> None:
        """Go back to the committed offset of every assigned partition, or its start. RetryableError."""

    def membership(self) -> Membership:
        """The group membership as of the last poll or rebalance. Any thread may ask."""

    def lag(self) -> int:
        """Records between the position and the last known end of the assigned partitions."""

    def close(self) -> None:
        """Leave the group."""


class Producer(Protocol):
    """Writes one transaction at a time."""

    def commit(self, outbound: Sequence[Outbound], offsets: Offsets, membership: Membership) -> None:
        """Produce every record and commit the offsets, all or nothing.

        Raises RetryableError: aborted, nothing is visible; rewind. FatalError: fenced, or the broker is
        gone for good; what became of the transaction will be read from the committed offsets at restart.
        """

    def close(self) -> None:
        """Release the connection. An open transaction is aborted."""


class InHandTopic(Protocol):
    """Keeps the newest note of each partition, for this group, where every worker of it finds it."""

    def read(self, partitions: Sequence[Partition]) -> dict[Partition, bytes]:
        """The notes there are of `partitions`; every note that was settled before is among them.

        Raises RetryableError: not answered in time. BrokerError: it cannot be read at all.
        """

    def write(self, notes: Mapping[Partition, bytes]) -> None:
        """Send notes, in order. Does not wait."""

    def settle(self) -> None:
        """Wait until everything sent is safe. BrokerError: it will not be."""

    def close(self) -> None:
        """Let what was sent arrive, for a moment."""
