"""Gives types to the records that confluent_kafka fetches.

Its types make every part optional, since one class holds errors, tombstones and records. The worker's own
code (`worker/kafka/fetched.py`) is not used, since an audit of the worker must not share its code.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import confluent_kafka as ck


class Fetched(NamedTuple):
    """A record with a value, its place, and the time that the broker or producer gave it."""

    topic: str
    partition: int
    offset: int
    value: bytes
    written_ms: int


def records(messages: Iterable[ck.Message]) -> Iterator[Fetched]:
    """The records among `messages`, without errors, tombstones and ends of partitions."""
    for message in messages:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        value = message.value()
        if message.error() is None and not (
            topic is None or partition is None or offset is None or value is None
        ):
            yield Fetched(topic, partition, offset, value, message.timestamp()[1])
