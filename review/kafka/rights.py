"""Asks Kafka what this desk may do, so that a right that it lacks is named at start.

Brokers tell a client its rights together with the description of a topic or a group (KIP-430). aiokafka asks
with an older version of that request, so the newer one is here. A broker without ACLs allows everything, and
of one that does not tell the same is assumed.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import (  # type: ignore[import-untyped]  # same
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.api import Request, RequestStruct, Response  # type: ignore[import-untyped]  # same
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String  # type: ignore[import-untyped]  # same

from review.errors import DeskError
from review.settings import ReviewSettings
from schemas.rights import Names, Resource, Right, complaint, missing, rights_of

# The bits of Kafka's AclOperation.
_BITS: Final = {3: "Read", 4: "Write", 5: "Create", 8: "Describe", 10: "DescribeConfigs"}
_NOT_TOLD: Final = -(2**31)

Allowed = Mapping[tuple[Resource, str], frozenset[str]]


class _MetadataResponse(Response):  # type: ignore[misc]  # untyped
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("topic_authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]  # untyped
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc]  # untyped
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        return request_struct_class(self._topics, False, False, True)


async def require_rights(admin: AIOKafkaAdminClient, settings: ReviewSettings) -> None:
    """Raise DeskError where Kafka says that this desk lacks some of its rights; the line names them all.

    KafkaErrors of a broker that cannot be reached pass through.
    """
    rights = _rights(settings, "desk") + _rights(settings, "webhooks")
    if lacking := await _lacking(admin, rights):
        raise DeskError(complaint(settings.client_name, lacking))
    for right in rights:
        if right.operation == "Create" and not await _may_create(admin, right):
            raise DeskError(complaint(settings.client_name, [right]))


async def require_rights_still(admin: AIOKafkaAdminClient, settings: ReviewSettings) -> str | None:
    """Ask the same of a desk that runs, which creates nothing any more.

    Returns what is wrong with the rights that only webhooks need: they wait, and people go on deciding.
    Raises DeskError: one of the desk's own rights is gone.
    """
    own = _rights(settings, "desk")
    lacking = await _lacking(admin, own + _rights(settings, "webhooks"))
    if not lacking:
        return None
    said = complaint(settings.client_name, lacking)
    if any(right in own for right in lacking):
        raise DeskError(said)
    return said


def _rights(settings: ReviewSettings, part: Literal["desk", "webhooks"]) -> tuple[Right, ...]:
    if part == "webhooks" and settings.webhook_url is None:
        return ()
    return rights_of(part, Names(topic_prefix=settings.topic_prefix))


async def _lacking(admin: AIOKafkaAdminClient, rights: Sequence[Right]) -> list[Right]:
    topics = sorted({right.name for right in rights if right.resource == "topic"})
    (group,) = (right.name for right in rights if right.resource == "group")
    allowed = {**await _of_topics(admin, topics), ("group", group): await _of_group(admin, group)}
    return missing(rights, {key: value for key, value in allowed.items() if value is not None})


async def _of_topics(
    admin: AIOKafkaAdminClient, topics: Sequence[str]
) -> dict[tuple[Resource, str], frozenset[str] | None]:
    try:
        response = await admin._send_request(_Metadata(topics))  # noqa: SLF001 - aiokafka has no public way
    except (IncompatibleBrokerVersion, NotImplementedError):
        return {}
    told = response.to_object()["topics"]
    return {
        ("topic", topic["topic"]): frozenset[str]()
        if topic["error_code"] == TopicAuthorizationFailedError.errno
        else _operations(topic["topic_authorized_operations"], but="Create")
        for topic in told
        if topic["error_code"] != UnknownTopicOrPartitionError.errno
    }


async def _of_group(admin: AIOKafkaAdminClient, group: str) -> frozenset[str] | None:
    try:
        (response,) = await admin.describe_consumer_groups([group], include_authorized_operations=True)
        (told,) = response.to_object()["groups"]
    except GroupAuthorizationFailedError:
        return frozenset()
    except (IncompatibleBrokerVersion, NotImplementedError):
        return None
    if told["error_code"] == GroupAuthorizationFailedError.errno:
        return frozenset()
    return _operations(told.get("authorized_operations", _NOT_TOLD))


async def _may_create(admin: AIOKafkaAdminClient, right: Right) -> bool:
    """Whether the topic is there or may be made: a request that only asks."""
    response = await admin.create_topics([NewTopic(right.name, 1, 1)], validate_only=True)
    (answer,) = response.to_object()["topic_errors"]
    return bool(answer["error_code"] != TopicAuthorizationFailedError.errno)


def _operations(bits: int, but: str = "") -> frozenset[str] | None:
    """The operations of a bit field, and `but`, which is found out otherwise; None where Kafka tells none."""
    if bits == _NOT_TOLD:
        return None
    return frozenset({word for bit, word in _BITS.items() if bits >> bit & 1} | {but})
