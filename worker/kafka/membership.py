"""A consumer's group membership, which a producer needs to commit offsets."""

import struct
from typing import Any, NamedTuple

import confluent_kafka as ck

from worker.kafka.offset_note import OffsetNote

_MAGIC = b"CGMDv2:"


class KafkaMembership(NamedTuple):
    """The `worker.kafka.Membership` of Apache Kafka: librdkafka's own, and the note for each offset."""

    group: Any
    note: OffsetNote


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
