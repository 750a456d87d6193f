"""A Kafka of a measurement's own, with one topic."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)

from mimamori.sandbox import Sandbox


@contextmanager
def own_kafka(topic: str, partitions: int) -> Iterator[str]:
    """Start it, and give its address; it ends with the block."""
    with Sandbox(redis=False) as sandbox:
        admin = AdminClient({"bootstrap.servers": sandbox.bootstrap})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
        yield sandbox.bootstrap
