"""A consumer's place in its group, as a producer needs it to commit."""

import struct
from typing import Any, NamedTuple

import confluent_kafka as ck

from worker.kafka.offset_note import OffsetNote

_MAGIC = b"CGMDv2:"


class KafkaMembership(NamedTuple):
    """The `worker.kafka.Membership` of Apache Kafka: librdkafka's own, and what is noted with each offset."""

    group: Any
    note: OffsetNote


def membership_of(consumer: ck.Consumer) -> Any | None:
    """The group membership as librdkafka serialises it, if there is one.

    Kafka takes offsets from "no member" unchecked, and the client forgets its member id on a thread of its
    own: only what was whole before and after counts, of a generation that the broker gave.
    """
    try:
        member = consumer.memberid()
        group = consumer.consumer_group_metadata()
        whole = member and member == consumer.memberid()
    except RuntimeError:  # in a rebalance that `close` serves, the client may have left the group already
        return None
    return group if whole and _generation(group) > 0 else None


def _generation(group: bytes) -> int:
    """Read the generation from librdkafka's serialised membership: a magic of seven bytes, then an int32.

    -1 where it is none: no member yet, or written by a librdkafka that does it otherwise.
    """
    return struct.unpack_from("=i", group, len(_MAGIC))[0] if group.startswith(_MAGIC) else -1
