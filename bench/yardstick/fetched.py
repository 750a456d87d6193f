"""Records as confluent_kafka fetches them, typed.

Its types leave every part optional, since one class holds errors, tombstones and records. Not the worker's
own reading (`worker/kafka/fetched.py`): what audits a worker must not share its code.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import confluent_kafka as ck


class Fetched(NamedTuple):
    """A record with a value: where it stands, what it holds, and when the broker or producer dated it."""

    topic: str
    partition: int
    offset: int
    value: bytes
    written_ms: int


def records(messages: Iterable[ck.Message]) -> Iterator[Fetched]:
    """Those of `messages` that are records: no errors, no tombstones, no end of a partition."""
    for message in messages:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        value = message.value()
        if message.error() is None and not (
            topic is None or partition is None or offset is None or value is None
        ):
            yield Fetched(topic, partition, offset, value, message.timestamp()[1])
