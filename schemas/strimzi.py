"""Topics and rights as Strimzi's resources have them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from schemas.rights import Right
from schemas.topics import TopicDefinition

_RESOURCES: Final[Mapping[str, str]] = {
    "topic": "topic",
    "group": "group",
    "transactional-id": "transactionalId",
}


def alike(rights: Sequence[Right]) -> Iterable[tuple[tuple[tuple[str, ...], str, bool], list[str]]]:
    """Resources of one type that need the same operations, together: (operations, type, by prefix), names."""
    operations: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for right in rights:
        operations[right.resource, right.name, right.prefix].append(right.operation)
    found: dict[tuple[tuple[str, ...], str, bool], list[str]] = defaultdict(list)
    for (resource, name, prefixed), needed in operations.items():
        found[tuple(needed), resource, prefixed].append(name)
    return found.items()


def acls(rights: Sequence[Right]) -> list[dict[str, Any]]:
    """The `acls` of a KafkaUser."""
    return [
        {
            "resource": {
                "type": _RESOURCES[resource],
                "name": name,
                "patternType": "prefix" if prefixed else "literal",
            },
            "operations": list(operations),
        }
        for (operations, resource, prefixed), names in alike(rights)
        for name in names
    ]


def topic(definition: TopicDefinition) -> dict[str, Any]:
    """A KafkaTopic's spec."""
    return {
        "topicName": definition.name,
        "partitions": definition.partitions,
        "replicas": definition.replication_factor,
        "config": definition.config,
    }
