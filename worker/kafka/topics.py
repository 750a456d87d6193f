"""Creates missing topics, and reports where existing ones differ from their definitions.

It never deletes a topic and never changes an existing one: more partitions would move keys to other
partitions, and a shorter retention would delete records. It prints the command that would make the change, so
that a person decides.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import confluent_kafka as ck
import msgspec
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from schemas.rights import Right
from schemas.topics import TopicDefinition
from worker.errors import BrokerError
from worker.kafka.client import make_admin, reach
from worker.kafka.rights import refused

TIMEOUT_S = 8.0


class Difference(msgspec.Struct, frozen=True):
    """A setting of a topic that differs from its definition, and the command that would change it."""

    setting: str
    expected: str
    actual: str
    remedy: str


class TopicState(msgspec.Struct, frozen=True):
    """A definition, and the topic on the broker. `partitions` is None where the topic is missing.

    `max_bytes` is the largest batch that the topic accepts; `compacted` says whether older records of a key
    are removed.
    """

    definition: TopicDefinition
    partitions: int | None = None
    differences: tuple[Difference, ...] = ()
    created: bool = False
    max_bytes: int | None = None
    compacted: bool = False


def read_topics(
    client_config: Mapping[str, Any], definitions: Sequence[TopicDefinition], *, timeout_s: float = TIMEOUT_S
) -> list[TopicState]:
    """Look up each definition's topic on the broker, in the definitions' order.

    Raises BrokerError: no broker answers within `timeout_s`, the client settings are wrong, or access is
    denied.
    """
    deadline = time.monotonic() + timeout_s
    return _read(make_admin(client_config), definitions, client_config, deadline)


def apply_topics(
    client_config: Mapping[str, Any],
    definitions: Sequence[TopicDefinition],
    *,
    dry_run: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> list[TopicState]:
    """Create the missing topics, and wait until the broker lists them. Idempotent.

    With `dry_run`, the broker only validates the request, and missing topics stay missing.
    Raises BrokerError: as `read_topics`, or where a topic cannot be created (the others still are).
    """
    deadline = time.monotonic() + timeout_s
    admin = make_admin(client_config)
    before = _read(admin, definitions, client_config, deadline)
    missing = [state.definition for state in before if state.partitions is None]
    if not missing:
        return before
    _create(admin, missing, client_config, dry_run, deadline)
    if dry_run:
        return before
    after = _read(admin, definitions, client_config, deadline)
    # The controller has created them, but the broker that answers may learn of it some milliseconds later.
    while any(state.partitions is None for state in after):
        _remaining(deadline, "the topics were created, but do not show up")
        time.sleep(0.05)
        after = _read(admin, definitions, client_config, deadline)
    return [msgspec.structs.replace(state, created=state.definition in missing) for state in after]


def _read(
    admin: AdminClient, definitions: Sequence[TopicDefinition], config: Mapping[str, Any], deadline: float
) -> list[TopicState]:
    try:
        # This asks for all topics, since a cluster may automatically create a topic that is asked for by
        # name.
        found = reach(admin, config, _remaining(deadline, "the broker does not answer")).topics
    except ck.KafkaException as error:
        raise BrokerError(
            f"no Kafka broker answers ({error.args[0].name()}): "
            "start it, or set MIMAMORI_BOOTSTRAP to its host:port"
        ) from None
    present = [definition.name for definition in definitions if definition.name in found]
    _check_absence(admin, [one.name for one in definitions if one.name not in found], config, deadline)
    configs = _read_configs(admin, present, config, deadline)
    return [
        _state(definition, found[definition.name], configs[definition.name])
        if definition.name in configs
        else TopicState(definition)
        for definition in definitions
    ]


def _check_absence(
    admin: AdminClient, names: Sequence[str], config: Mapping[str, Any], deadline: float
) -> None:
    """Raise BrokerError where Kafka lists a topic not because it is missing, but because it is hidden."""
    if not names:
        return
    timeout = _remaining(deadline, "the broker does not answer")
    # Unlike a consumer's question, this one never creates a topic.
    answers = admin.describe_topics(ck.TopicCollection(list(names)), request_timeout=timeout)
    hidden = [name for name, future in answers.items() if _denied(future)]
    if hidden:
        raise refused(config, *(Right("topic", name, "Describe") for name in hidden))


def _denied(future: "Future[Any]") -> bool:
    try:
        future.result()
    except ck.KafkaException as error:
        return bool(error.args[0].code() == ck.KafkaError.TOPIC_AUTHORIZATION_FAILED)
    return False


def _read_configs(
    admin: AdminClient, names: Sequence[str], config: Mapping[str, Any], deadline: float
) -> dict[str, dict[str, ConfigEntry]]:
    if not names:
        return {}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    timeout = _remaining(deadline, "the broker does not tell its topics' settings")
    answers: dict[ConfigResource, Future[dict[str, ConfigEntry]]] = admin.describe_configs(
        asked, request_timeout=timeout
    )
    hidden = [resource.name for resource, future in answers.items() if _denied(future)]
    if hidden:
        raise refused(config, *(Right("topic", name, "DescribeConfigs") for name in hidden))
    told: dict[str, dict[str, ConfigEntry]] = {}
    for resource, future in answers.items():
        try:
            told[resource.name] = future.result()
        except ck.KafkaException as error:
            # Of several brokers, one may answer that has not heard yet of a topic which another one lists.
            if error.args[0].code() != ck.KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(
                    f"the settings of the topics cannot be read: {error.args[0].str()}"
                ) from None
    return told


def _create(
    admin: AdminClient,
    missing: Sequence[TopicDefinition],
    config: Mapping[str, Any],
    dry_run: bool,  # noqa: FBT001 - passed on from `apply_topics`
    deadline: float,
) -> None:
    timeout = _remaining(deadline, "the broker does not answer")
    creations: dict[str, Future[None]] = admin.create_topics(
        [_new_topic(definition) for definition in missing],
        operation_timeout=timeout,
        request_timeout=timeout,
        validate_only=dry_run,
    )
    failed: dict[str, list[str]] = {}
    denied = [name for name, creation in creations.items() if _denied(creation)]
    if denied:
        raise refused(config, *(Right("topic", name, "Create") for name in denied))
    for name, creation in creations.items():
        try:
            creation.result()
        except ck.KafkaException as error:
            # Somebody else has created it meanwhile; it is compared with its definition like any other topic.
            if error.args[0].code() != ck.KafkaError.TOPIC_ALREADY_EXISTS:
                failed.setdefault(_advice(error.args[0]), []).append(name)
    if failed:
        said = "; ".join(f"cannot create {', '.join(names)}: {advice}" for advice, names in failed.items())
        raise BrokerError(said)


def _new_topic(definition: TopicDefinition) -> NewTopic:
    return NewTopic(
        definition.name,
        num_partitions=definition.partitions,
        replication_factor=definition.replication_factor,
        config=definition.config,
    )


def _advice(error: ck.KafkaError) -> str:
    if error.code() == ck.KafkaError.INVALID_REPLICATION_FACTOR:
        return "the cluster has fewer brokers than replicas, pass --replication-factor"
    return error.str() or error.name()


def _state(
    definition: TopicDefinition, metadata: TopicMetadata, config: Mapping[str, ConfigEntry]
) -> TopicState:
    name, differences = definition.name, []
    partitions = len(metadata.partitions)
    if partitions != definition.partitions:
        expected = str(definition.partitions)
        grow = f"drain the workers, then kafka-topics.sh --alter --topic {name} --partitions {expected}"
        shrink = f"partitions cannot be taken away: pass --partitions-override {partitions} if that is meant"
        remedy = grow if partitions < definition.partitions else shrink
        differences.append(Difference("partitions", expected, str(partitions), remedy))
    replicas = min((len(partition.replicas) for partition in metadata.partitions.values()), default=0)
    if replicas != definition.replication_factor:
        remedy = f"kafka-reassign-partitions.sh, or pass --replication-factor {replicas} if that is meant"
        expected = str(definition.replication_factor)
        differences.append(Difference("replication factor", expected, str(replicas), remedy))
    for setting, expected in definition.config.items():
        actual = str(config[setting].value)
        if set(actual.split(",")) != set(expected.split(",")):  # compact,delete or delete,compact
            change = f"--add-config {setting}={expected}"
            remedy = f"kafka-configs.sh --alter --entity-type topics --entity-name {name} {change}"
            differences.append(Difference(setting, expected, actual, remedy))
    return TopicState(
        definition,
        partitions,
        tuple(differences),
        max_bytes=int(config["max.message.bytes"].value or 0),
        compacted="compact" in str(config["cleanup.policy"].value),
    )


def _remaining(deadline: float, otherwise: str) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise BrokerError(f"{otherwise} in time: look at the cluster, then run the command again")
    return left
