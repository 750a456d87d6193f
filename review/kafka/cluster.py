"""Checks the Kafka cluster before Faust starts: it is reachable, has the topics, and their partitions match.

Faust would retry an unreachable broker for ever, wait silently for a missing topic, and stop with a traceback
on unequal partitions. Changes to the cluster after this check are not noticed.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]  # same
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # same

from review.errors import DeskError
from review.kafka.clients import client_settings
from review.kafka.rights import require_rights
from review.settings import ReviewSettings

WANTED_REPLICAS = 3
# What the definition of the topic says; where the topic says nothing, Kafka has no limit.
DEFAULT_LAG = timedelta(hours=1)
_LONG = timedelta(days=7)
_LONGEST_MS = 365 * 86_400_000

log = structlog.get_logger()


class Cluster(msgspec.Struct, frozen=True):
    """What the desk needs to know about the cluster. `partitions` is the same for all topics of cases.

    `cases_lag` is the longest time after which the broker forgets a case that it was told to forget.
    """

    brokers: int
    partitions: int
    replication_factor: int
    cases_lag: timedelta = DEFAULT_LAG


async def inspect(settings: ReviewSettings) -> Cluster:
    """Check the cluster.

    Raises DeskError: it is unreachable, it denies the desk a right, a topic is missing, partitions are
    unequal, or brokers are too few.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the error below reports it, once
    admin = AIOKafkaAdminClient(**client_settings(settings))
    try:
        async with asyncio.timeout(settings.connect_seconds):
            await admin.start()
            await require_rights(admin, settings)
            topics = _topics(settings)
            described = await admin.describe_topics([*topics, settings.audit_topic])
            configured = await _settings_of(admin, settings.cases_topic)
            brokers = len((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError) as error:
        raise DeskError(
            f"cannot reach Kafka at {settings.bootstrap} within {settings.connect_seconds:g} s "
            f"({type(error).__name__}): check MIMAMORI_REVIEW_BOOTSTRAP and the security settings"
        ) from None
    finally:
        await admin.close()
        logging.getLogger("aiokafka").setLevel(logging.WARNING)
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
    cluster = _checked(settings, partitions, brokers)
    return msgspec.structs.replace(cluster, cases_lag=_lag(settings.cases_topic, configured))


async def _settings_of(admin: Any, topic: str) -> dict[str, str] | None:
    """The topic's settings by Kafka's names; None where this user may not see them."""
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    (code, _, _, _, entries), *_ = answer.resources
    return None if code else {name: value for name, value, *_ in entries}


def _lag(topic: str, configured: dict[str, str] | None) -> timedelta:
    """How long Kafka may keep what it was told to forget. Warns where it keeps it in any case."""
    if configured is None:
        log.info("topic_settings_unknown", topic=topic, assumed="as `mimamori topics apply` makes it")
        return DEFAULT_LAG
    lag = timedelta(milliseconds=min(int(configured["max.compaction.lag.ms"]), _LONGEST_MS))
    if "compact" not in configured["cleanup.policy"] or lag > _LONG:
        hint = "`mimamori topics list` says which settings to change"
        log.warning("broker_keeps_decided_texts", topic=topic, hint=hint)
    return lag


def _topics(settings: ReviewSettings) -> list[str]:
    return [settings.cases_topic, settings.events_topic, settings.decisions_topic, settings.subjects_topic]


def _checked(settings: ReviewSettings, partitions: dict[str, int], brokers: int) -> Cluster:
    topics = _topics(settings)
    if missing := [topic for topic in (*topics, settings.audit_topic) if topic not in partitions]:
        raise DeskError(
            f"no topic {' and no topic '.join(missing)}: create them with `mimamori topics apply`"
        )
    counts = {topic: partitions[topic] for topic in topics}
    if len(set(counts.values())) != 1:
        each = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise DeskError(f"partitions differ: {each}. All need as many, so that a step reaches its case")
    replicas = settings.replication_factor or min(WANTED_REPLICAS, brokers)
    if replicas > brokers:
        raise DeskError(
            f"the changelog topic cannot have {replicas} replicas on {brokers} brokers: "
            "lower MIMAMORI_REVIEW_REPLICATION_FACTOR"
        )
    return Cluster(brokers, counts[topics[0]], replicas)
