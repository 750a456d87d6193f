"""The consuming client's configuration: defaults, the settings, and values that our guarantees depend on."""

from collections.abc import Mapping
from typing import Any, Final

from worker.settings import GroupProtocol

_GROUP: Final[Mapping[GroupProtocol, Mapping[str, Any]]] = {
    "classic": {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        # A member learns of each step of a rebalance by its next heartbeat, and partitions that move have no
        # reader meanwhile, so that a rolling restart's longest waits follow from it (bench/rolling.py).
        "heartbeat.interval.ms": 100,
    },
    # Assignor, session timeout and heartbeat are settings of the broker, which the client refuses.
    "consumer": {"group.protocol": "consumer"},
}


def consumer_config(config: Mapping[str, Any], group: str, protocol: GroupProtocol) -> dict[str, Any]:
    """The client's configuration as a member of `group`. `config` overrides the defaults in it."""
    return {
        "group.id": group,
        "client.id": "mimamori-intake",
        **_GROUP[protocol],
        # Where Kafka has no record at a committed offset, the client reports an error, and Starts decides.
        "auto.offset.reset": "error",
        "topic.metadata.refresh.interval.ms": 10_000,  # a new partition is noticed within this time
        "fetch.wait.max.ms": 10,  # with few messages, the default of 500 ms would be all of the latency
        "queued.max.messages.kbytes": 65_536,
        **config,
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    }
