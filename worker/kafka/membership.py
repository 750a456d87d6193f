"""A consumer's group membership, which a producer needs to commit offsets."""

import struct
import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import confluent_kafka as ck

from worker.errors import RetryableError
from worker.kafka.offset_note import OffsetNote
from worker.kafka.record import Partition
from worker.kafka.starts import Starts

_MAGIC = b"CGMDv2:"


class Held:
    """The membership under which each partition is committed, for the protocol `consumer`. Thread-safe.

    Kafka does not look whose a partition is where a commit comes under its member's current epoch; under an
    older one, it does (KIP-1251). So each partition keeps the membership that it was confirmed under, until a
    commit under that one has succeeded: see docs/decisions/0024-a-partition-is-confirmed.md.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under: dict[Partition, Any] = {}

    def take(self, partitions: Iterable[Partition], group: Any) -> None:
        """They are confirmed under the membership `group`."""
        with self._lock:
            self._under |= dict.fromkeys(partitions, group)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """They must not be committed any more."""
        with self._lock:
            for partition in partitions:
                self._under.pop(partition, None)

    def now(self) -> dict[Partition, Any]:
        """The membership of each."""
        with self._lock:
            return dict(self._under)

    def proved(self, under: Mapping[Partition, Any], group: Any) -> None:
        """A commit `under` these has succeeded, when the membership was known to be `group` already.

        The broker looked whose they are, so that they may come under the newer one, all in one request.
        """
        with self._lock:
            for partition, before in under.items():
                if self._under.get(partition) == before:
                    self._under[partition] = group


class KafkaMembership(NamedTuple):
    """The `worker.kafka.Membership` of Apache Kafka: librdkafka's own, and the note for each offset.

    With the protocol `consumer`, `under` says which membership each partition is committed under, and `held`
    is told which of them have proved good.
    """

    group: Any
    note: OffsetNote
    under: Mapping[Partition, Any] | None = None
    held: Held | None = None

    def groups(self, partitions: Iterable[Partition]) -> dict[Any, list[Partition]]:
        """The partitions of each membership. Raises RetryableError: one of them is not confirmed."""
        if self.under is None:
            return {self.group: list(partitions)}
        found: dict[Any, list[Partition]] = {}
        for partition in partitions:
            if (group := self.under.get(partition)) is None:
                raise RetryableError("the group has not confirmed a partition of this worker")
            found.setdefault(group, []).append(partition)
        return found

    def proved(self, partitions: Iterable[Partition]) -> None:
        """What was committed under this membership: its transaction is committed."""
        if self.held is not None and self.under is not None:
            old = {place: self.under[place] for place in partitions if self.under[place] != self.group}
            if old:
                self.held.proved(old, self.group)


class NotedMembership:
    """The membership as the polling thread noted it last, which any thread may read.

    The client serves one thread at a time, so that another one that asks the client while it is polled may
    have to wait for minutes.
    """

    def __init__(self, consumer: ck.Consumer, starts: Starts, held: Held | None) -> None:
        """`held` is for the protocol `consumer`."""
        self._consumer = consumer
        self._starts = starts
        self._held = held
        self.last: KafkaMembership | None = None

    def note(self) -> None:
        """Ask the client, and keep what was known where it is no member at the moment."""
        group = membership_of(self._consumer)
        if group is not None:
            under = None if self._held is None else self._held.now()
            self.last = KafkaMembership(group, self._starts.note, under, self._held)


def membership_of(consumer: ck.Consumer) -> Any | None:
    """The group membership as librdkafka serialises it; None where there is none.

    Kafka accepts offsets without a member id unchecked, and the client clears its member id on a background
    thread. So a membership is used only where the client was a member before and after it was read, and where
    the broker gave it a generation.
    """
    try:
        member = consumer.memberid()
        group = consumer.consumer_group_metadata()
        whole = member and member == consumer.memberid()
    except RuntimeError:  # in a rebalance during `close`, the client may have left the group already
        return None
    return group if whole and _generation(group) > 0 else None


def _generation(group: bytes) -> int:
    """Read the generation from librdkafka's serialised membership: a magic of seven bytes, then an int32.

    -1 where there is none: the client is not a member yet, or this librdkafka uses another format.
    """
    return struct.unpack_from("=i", group, len(_MAGIC))[0] if group.startswith(_MAGIC) else -1
