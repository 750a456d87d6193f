"""Writes the desk's events to Kafka, signed, and waits until all replicas have them."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from review.cases.windows import Sighting
from schemas.codec import encode
from schemas.events import AuditRecord, CaseEvent, ReviewDecision
from schemas.headers import Pairs, Trace, event_headers


class Signatures(Protocol):
    """Signs what the desk writes, and tells its own from what anybody else has written."""

    def sign(self, topic: str, key: bytes, value: bytes) -> tuple[str, bytes]:
        """The header, name and value, to send with a record."""

    def fault(self, topic: str, key: bytes | None, value: bytes | None, headers: Pairs | None) -> str | None:
        """What is wrong with a consumed record's signature; None where a desk has signed it."""


def teller_of_sightings(topic: Any, signatures: Signatures) -> Callable[[Sighting], Awaitable[object]]:
    """A function that writes a sighting to `topic`, by its digest, and returns once all replicas have it."""
    name = topic.get_topic_name()

    async def tell(seen: Sighting) -> object:
        key, value = seen.digest.encode(), msgspec.json.encode(seen)
        headers = [signatures.sign(name, key, value)]
        return await (await topic.send(key=key, value=value, headers=headers))

    return tell


class Publish(Protocol):
    """Writes an event to a partition, and returns once all replicas have it."""

    async def __call__(
        self, event: CaseEvent | ReviewDecision, partition: int, trace: Trace | None = None, /
    ) -> object:
        """`trace` is what has caused it."""


def publisher(topic: Any, signatures: Signatures) -> Publish:
    """A function that writes an event to a partition of `topic`, and returns once all replicas have it.

    The partition is given, not hashed from the key: an event must arrive in the partition of its case,
    whatever partitioner the worker's producer used.
    """
    name = topic.get_topic_name()

    async def publish(
        event: CaseEvent | ReviewDecision, partition: int, trace: Trace | None = None, /
    ) -> object:
        key, value = event.case_id.encode(), encode(event)
        headers = [*event_headers(event, trace.headers if trace else ()), signatures.sign(name, key, value)]
        return await (await topic.send(key=key, value=value, headers=headers, partition=partition))

    return publish


def teller(topic: Any) -> Callable[[bytes, int], Awaitable[object]]:
    """A function that writes a null value under a key to a partition of `topic`: forget what was there."""

    async def tell(key: bytes, partition: int) -> object:
        return await (await topic.send(key=key, value=None, partition=partition))

    return tell


def audit_writer(topic: Any, signatures: Signatures) -> Callable[[AuditRecord], Awaitable[object]]:
    """A function that writes an audit record to `topic`, and returns once all replicas have it."""
    name = topic.get_topic_name()

    async def write(record: AuditRecord) -> object:
        key, value = (record.case_id or record.actor).encode(), encode(record)
        headers = [*event_headers(record), signatures.sign(name, key, value)]
        return await (await topic.send(key=key, value=value, headers=headers))

    return write
