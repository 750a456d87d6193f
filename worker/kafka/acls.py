"""Makes users of a Kafka with SASL SCRAM and ACLs, and grants them rights: for the sandbox and the tests.

Production has its own ways, kafka-acls.sh or Strimzi's KafkaUser: `mimamori topics acls` prints their input.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from schemas.rights import Operation, Resource, Right

ITERATIONS: Final = 4096  # the fewest that Kafka takes, since these users live for an afternoon

_OPERATIONS: Final[Mapping[Operation, AclOperation]] = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
_RESOURCES: Final[Mapping[Resource, ResourceType]] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}


def admit(
    admin_config: Mapping[str, Any], passwords: Mapping[str, str], rights: Mapping[str, Iterable[Right]]
) -> None:
    """Make the users of `passwords`, or give them these, and grant the users of `rights` theirs.

    Raises KafkaException: the administrator may not do that.
    """
    admin = AdminClient(dict(admin_config))
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(
            user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS), password.encode()
        )
        for user, password in passwords.items()
    ]
    granted = [binding(user, right) for user, of_user in rights.items() for right in of_user]
    futures = [
        *admin.alter_user_scram_credentials(changes).values(),
        *(admin.create_acls(granted).values() if granted else ()),
    ]
    for future in futures:
        future.result()


def binding(user: str, right: Right) -> AclBinding:
    """The ACL that grants a right, from any host."""
    return AclBinding(
        _RESOURCES[right.resource],
        right.name,
        ResourcePatternType.PREFIXED if right.prefix else ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        _OPERATIONS[right.operation],
        AclPermissionType.ALLOW,
    )
