"""What the consuming client is told: the settings' own, and over them what the worker's promises rest on."""

from collections.abc import Mapping
from typing import Any, Final

from worker.settings import GroupProtocol

_GROUP: Final[Mapping[GroupProtocol, Mapping[str, Any]]] = {
    "classic": {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
    },
    # Assignor, session timeout and heartbeat are the broker's: the client refuses to be told any.
    "consumer": {"group.protocol": "consumer"},
}


def consumer_config(config: Mapping[str, Any], group: str, protocol: GroupProtocol) -> dict[str, Any]:
    """The client's configuration as a member of `group`. `config` may replace the defaults among it."""
    return {
        "group.id": group,
        "client.id": "mimamori-intake",
        **_GROUP[protocol],
        # Where Kafka has no record at a committed offset: Starts says what then.
        "auto.offset.reset": "error",
        "topic.metadata.refresh.interval.ms": 10_000,  # how long a new partition may go unnoticed
        "fetch.wait.max.ms": 10,  # the default of 500 ms is all of the latency at a trickle
        "queued.max.messages.kbytes": 65_536,
        **config,
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    }
