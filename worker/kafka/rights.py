"""Asks Kafka what this client may do, so that a right that it lacks is named at start.

Brokers tell a client its rights together with the description of a topic or a group (KIP-430). A broker
without ACLs allows everything, and of one that does not tell the same is assumed. Kafka does not tell of
transactional ids: the producer's first call finds out.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AclOperation,
)

from schemas.access import TokenFile
from schemas.rights import Resource, Right, complaint, missing
from schemas.tls_files import FileFault, TlsFiles
from worker.errors import BrokerError
from worker.kafka.client import make_admin, reach

TIMEOUT_S: Final = 8.0

_WORDS: Final = {
    AclOperation.READ: "Read",
    AclOperation.WRITE: "Write",
    AclOperation.CREATE: "Create",
    AclOperation.DESCRIBE: "Describe",
    AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs",
}
# Where even describing is denied, Kafka tells no more; then these two are found out when they are used.
_UNTOLD: Final = frozenset({"Create", "DescribeConfigs"})
_DENIED: Final = {ck.KafkaError.TOPIC_AUTHORIZATION_FAILED, ck.KafkaError.GROUP_AUTHORIZATION_FAILED}


def require_rights(
    client_config: Mapping[str, Any], rights: Iterable[Right], timeout_s: float = TIMEOUT_S
) -> None:
    """Raise BrokerError where Kafka says that this client lacks some of `rights`; the line names them all."""
    wanted = list(rights)
    lacking = missing(wanted, _allowed(client_config, wanted, timeout_s))
    if lacking:
        raise refused(client_config, *lacking)


def refused(client_config: Mapping[str, Any], *lacking: Right) -> BrokerError:
    """The error of a client that lacks these rights."""
    return BrokerError(complaint(_name_of(client_config), lacking))


def _name_of(config: Mapping[str, Any]) -> str:
    """Who this client is for Kafka, as far as it knows itself."""
    shown, token = config.get("ssl.certificate.location"), config.get("oauth_cb")
    try:
        if name := config.get("sasl.username", config.get("sasl.oauthbearer.client.id")):
            return str(name)
        return (
            token.subject()
            if isinstance(token, TokenFile)
            else TlsFiles(certificate=shown and Path(str(shown))).subject()
        )
    except FileFault:
        return ""


def _allowed(
    client_config: Mapping[str, Any], rights: Sequence[Right], timeout_s: float
) -> dict[tuple[Resource, str], frozenset[str]]:
    """What Kafka allows on the resources of `rights`, as far as it tells."""
    admin = make_admin(client_config)
    try:
        reach(admin, client_config, timeout_s)
    except ck.KafkaException:
        return {}  # a broker that does not answer: others report that
    asked: dict[tuple[Resource, str], Any] = {}
    if topics := _names(rights, "topic"):
        answers = admin.describe_topics(
            ck.TopicCollection(topics), include_authorized_operations=True, request_timeout=timeout_s
        )
        asked |= {("topic", name): answers[name] for name in topics}
    for group in _names(rights, "group"):
        answers = admin.describe_consumer_groups(
            [group], include_authorized_operations=True, request_timeout=timeout_s
        )
        asked["group", group] = answers[group]
    allowed = {}
    for resource, future in asked.items():
        try:
            operations = future.result(timeout_s + 1).authorized_operations
        except ck.KafkaException as error:
            if error.args[0].code() in _DENIED:
                allowed[resource] = _UNTOLD
            continue  # a topic that is missing, a broker that does not answer any more: others report that
        except TimeoutError:
            continue
        if operations is not None:
            allowed[resource] = frozenset(_WORDS[each] for each in operations if each in _WORDS)
    return allowed


def _names(rights: Sequence[Right], resource: Resource) -> list[str]:
    return sorted({right.name for right in rights if right.resource == resource and not right.prefix})
