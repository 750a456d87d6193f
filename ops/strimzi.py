"""What the chart makes KafkaTopics and KafkaUsers of: the topics' definitions and each part's rights.

What an installation chooses stands between braces, and the chart fills it in.
"""

from typing import Any, Final

from schemas.rights import Names, Part, rights_of
from schemas.strimzi import acls, topic
from schemas.topics import TopicDefinition, load_topics

CHOSEN: Final = Names("{prefix}", "{group}", "{transactions}", "{platform}")
# By the chart's names of them. It makes no user for the topics job: with KafkaTopics there is none.
PARTS: Final[dict[str, Part]] = {
    "worker": "worker",
    "shadow": "shadow",
    "review": "desk",
    "webhooks": "webhooks",
    "scaler": "scaler",
    "platform": "platform",
}


def listed() -> dict[str, Any]:
    """Topics and users."""
    return {
        "topics": [_topic(each) for each in sorted(load_topics(""), key=lambda each: each.name)],
        "users": {ours: acls(rights_of(part, CHOSEN)) for ours, part in PARTS.items()},
    }


def _topic(definition: TopicDefinition) -> dict[str, Any]:
    config = topic(definition)["config"]
    return {
        "name": definition.name,
        "partitions": definition.partitions,
        # Whether the chart's number of partitions holds, as in `topics apply --partitions-override`.
        "follows": bool(definition.event or definition.partitions_of),
        "minInsyncReplicas": int(config.pop("min.insync.replicas")),
        "config": config,
    }
