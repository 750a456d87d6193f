"""The topic definitions: complete, consistent, and able to carry what the settings allow."""

import pytest

from schemas.events import ReviewCase
from schemas.kinds import KINDS
from schemas.topics import TopicDefinition, in_hand_topic, load_topics, topic_names

# Whose records are no events: nobody is promised anything about them.
INTERNAL = ["mimamori.case-subjects", "mimamori.in-hand", "mimamori.review-webhooks"]
TOPICS = {topic.event: topic for topic in load_topics()}


def test_there_is_one_topic_per_kind_in_the_order_of_the_flow() -> None:
    events = [*(kind.name for kind in KINDS), *[None] * len(INTERNAL)]
    assert [topic.event for topic in load_topics()] == events
    assert [topic.name for topic in load_topics()] == [
        "mimamori.messages",
        "mimamori.labels",
        "mimamori.review-cases",
        "mimamori.review-decisions",
        "mimamori.dead-letters",
        "mimamori.shadow-labels",
        "mimamori.case-events",
        "mimamori.review-audit",
        *INTERNAL,
    ]


def test_cases_their_events_and_decisions_have_equal_partition_counts() -> None:
    """The review table is co-partitioned by case id: unequal counts would part cases from their events."""
    counts = {TOPICS[kind].partitions for kind in ("review-case", "case-event", "review-decision")}
    assert len(counts) == 1


def test_a_dead_letter_has_room_for_the_largest_original_as_base64() -> None:
    largest_original = 2_000_000  # the worker's default for `dead_letter_max_bytes`
    assert TOPICS["dead-letter"].max_message_bytes > largest_original * 4 / 3 + 10_000


def test_topics_that_hold_text_are_not_kept_for_long() -> None:
    assert TOPICS["message"].retention_hours <= 72
    assert TOPICS["review-case"].retention_hours <= 720
    # A segment that stays open for a week would add that week.
    assert TOPICS["message"].config["segment.ms"] == str(6 * 3_600_000)
    assert TOPICS["dead-letter"].config["segment.ms"] == str(24 * 3_600_000)


def test_a_decided_case_is_forgotten_by_compaction() -> None:
    config = TOPICS["review-case"].config
    assert config["cleanup.policy"] == "compact,delete"
    assert config["max.compaction.lag.ms"] == "3600000"


def test_a_prefix_names_another_set_of_topics() -> None:
    assert load_topics("staging.")[0].name == "staging.messages"
    assert topic_names("staging.")[ReviewCase] == "staging.review-cases"


@pytest.mark.parametrize(
    "topic", load_topics(replication_factor=1, partitions=4), ids=lambda topic: topic.name
)
def test_a_small_cluster_gets_fewer_replicas_and_can_still_write(topic: TopicDefinition) -> None:
    assert (topic.replication_factor, topic.min_insync_replicas) == (1, 1)
    assert topic.partitions == (4 if topic.event or topic.partitions_of else 1)


def test_the_settings_are_spelt_as_kafka_spells_them() -> None:
    assert TOPICS["label"].config == {
        "cleanup.policy": "delete",
        "max.message.bytes": "1048576",
        "min.insync.replicas": "2",
        "retention.ms": "604800000",
    }


def test_what_workers_tell_one_another_is_compacted_small_and_no_event() -> None:
    (notes,) = (topic for topic in load_topics() if topic.name == in_hand_topic())
    assert notes.config["cleanup.policy"] == "compact"
    assert notes.config["segment.bytes"] == "1048576"
    assert notes.name not in topic_names().values()
    assert in_hand_topic("staging.") in {topic.name for topic in load_topics("staging.")}
