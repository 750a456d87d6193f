"""The topic definitions: one YAML page per topic in `schemas/topics/`, read into typed values.

A page states what production should have; `load_topics` can reduce it for a smaller cluster. Creating and
checking topics on a broker is the task of `worker.kafka.topics`.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from schemas.events import Event
from schemas.kinds import KINDS, KindName

PAGES: Final = Path(__file__).parent / "topics"
HOUR_MS: Final = 3_600_000

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class TopicDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One topic as it should be. `key` says what a record's key is, `owner` who is responsible for the topic.

    `event` is None for an internal topic, which only workers write and read, without a promise to anybody.
    `partitions_of` names an event whose topic must have as many partitions.

    `compatibility` is what a change of the event's schema must keep: BACKWARD_TRANSITIVE (new consumers read
    all older events) or FULL_TRANSITIVE (older consumers also read newer events).

    Kafka deletes whole segments, by their newest record. So a record may outlive `retention_hours` by as long
    as its segment was written to: `segment_hours`, or a week where that is None. On a compacted topic, what a
    later record of its key replaces is gone `max_compaction_lag_hours` after the segment was closed.
    """

    name: str
    event: KindName | None
    description: str
    owner: str
    key: str
    partitions: AtLeastOne
    replication_factor: AtLeastOne
    min_insync_replicas: AtLeastOne
    retention_hours: AtLeastOne
    cleanup_policy: Literal["delete", "compact", "compact,delete"]
    max_message_bytes: AtLeastOne
    compatibility: Literal["BACKWARD_TRANSITIVE", "FULL_TRANSITIVE", "NONE"]
    segment_bytes: AtLeastOne | None = None
    segment_hours: AtLeastOne | None = None
    max_compaction_lag_hours: AtLeastOne | None = None
    partitions_of: KindName | None = None

    @property
    def config(self) -> dict[str, str]:
        """The topic's settings under Kafka's names, with the values spelled as Kafka does."""
        return {
            "cleanup.policy": self.cleanup_policy,
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": str(self.min_insync_replicas),
            "retention.ms": str(self.retention_hours * HOUR_MS),
            **({"segment.bytes": str(self.segment_bytes)} if self.segment_bytes else {}),
            **({"segment.ms": str(self.segment_hours * HOUR_MS)} if self.segment_hours else {}),
            **(
                {"max.compaction.lag.ms": str(self.max_compaction_lag_hours * HOUR_MS)}
                if self.max_compaction_lag_hours
                else {}
            ),
        }


def load_topics(
    prefix: str = "mimamori.", *, partitions: int | None = None, replication_factor: int | None = None
) -> tuple[TopicDefinition, ...]:
    """The definitions, named `prefix` + page name: events in the order of `schemas.kinds`, then internal.

    `partitions` and `replication_factor` replace the pages' values. `partitions` does so for topics of
    events, and those that go with one, and for all of them alike, because review cases and decisions must
    have equal counts. The minimum of in-sync replicas never exceeds the number of replicas.

    Raises msgspec.ValidationError: a page is wrong, which only a change to this folder can cause.
    """
    pages = [msgspec.yaml.decode(page.read_bytes(), type=TopicDefinition) for page in PAGES.glob("*.yaml")]
    order: list[KindName | None] = [*(kind.name for kind in KINDS), None]
    return tuple(
        msgspec.structs.replace(
            page,
            name=prefix + page.name,
            partitions=((page.event or page.partitions_of) and partitions) or page.partitions,
            replication_factor=replication_factor or page.replication_factor,
            min_insync_replicas=min(page.min_insync_replicas, replication_factor or page.replication_factor),
        )
        for page in sorted(pages, key=lambda page: (order.index(page.event), page.name))
    )


def topic_names(prefix: str = "mimamori.") -> dict[type[Event], str]:
    """The name of the topic on which each kind of event travels."""
    events = {kind.name: kind.event for kind in KINDS}
    return {events[topic.event]: topic.name for topic in load_topics(prefix) if topic.event is not None}


def in_hand_topic(prefix: str = "mimamori.") -> str:
    """The name of the topic where workers note which messages they are about to give to the model."""
    return f"{prefix}in-hand"
