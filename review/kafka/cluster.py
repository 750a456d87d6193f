"""Checks the Kafka cluster before Faust starts: it is reachable, has the topics, and their partitions match.

Faust would retry an unreachable broker for ever, wait silently for a missing topic, and stop with a traceback
on unequal partitions. While it runs, `review.kafka.cluster_watch` has the same looked at again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]  # same
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import (  # type: ignore[import-untyped]  # same
    KafkaError,
    UnknownTopicOrPartitionError,
)

from review.errors import DeskError, KafkaGoneError, missing_ledger
from review.kafka.clients import client_settings
from review.kafka.refusal import why_not
from review.kafka.rights import require_rights, require_rights_still
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

    Raises KafkaGoneError: it is unreachable. DeskError: it denies the desk a right, a topic is missing,
    partitions are unequal, or brokers are too few.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the error reports it, once
    try:
        async with _asking(settings) as admin:
            await require_rights(admin, settings)
            topics = _topics(settings)
            described = await admin.describe_topics([*topics, settings.audit_topic])
            configured = await _settings_of(admin, settings.cases_topic)
            brokers = len((await admin.describe_cluster())["brokers"])
    finally:
        logging.getLogger("aiokafka").setLevel(logging.WARNING)
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
    cluster = _checked(settings, partitions, brokers)
    return msgspec.structs.replace(cluster, cases_lag=_lag(settings.cases_topic, configured))


async def look_again(settings: ReviewSettings, *, changelog: bool) -> str | None:
    """Check, for a desk that runs, what may have been taken from it: its rights and its topics.

    `changelog`: the table's topic has been made by now. Returns what is wrong with what only webhooks
    need. Raises KafkaGoneError: nobody answers. DeskError: a right or a topic is gone, so that
    the desk cannot go on.
    """
    topics = [*_topics(settings), settings.audit_topic]
    told = [] if settings.webhook_url is None else [settings.webhooks_topic]
    async with _asking(settings) as admin:
        for_webhooks = await require_rights_still(admin, settings)
        described = await admin.describe_topics([*topics, settings.changelog_topic, *told])
    # Of a broker that has just started, a topic may have no leader yet. That is not missed here.
    gone = {
        topic["topic"] for topic in described if topic["error_code"] == UnknownTopicOrPartitionError.errno
    }
    if changelog and settings.changelog_topic in gone:
        raise DeskError(
            f"the topic {settings.changelog_topic}, which keeps this desk's table, was deleted: "
            "docs/how-to/when-something-happens.md says how to read the table anew"
        )
    _require(topics, gone)
    if gone.intersection(told):
        return missing_ledger(settings.webhooks_topic)
    return for_webhooks


@asynccontextmanager
async def _asking(settings: ReviewSettings) -> AsyncIterator[Any]:
    """A client that asks. Raises KafkaGoneError: it gets no answer in time."""
    admin = AIOKafkaAdminClient(**client_settings(settings))
    try:
        async with asyncio.timeout(settings.connect_seconds):
            await admin.start()
            yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise KafkaGoneError(
            await why_not(settings)
            or f"cannot reach Kafka at {settings.bootstrap} within {settings.connect_seconds:g} s "
            f"({type(error).__name__}): check MIMAMORI_REVIEW_BOOTSTRAP and the security settings"
        ) from None
    finally:
        await admin.close()


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


def _require(topics: list[str], gone: set[str]) -> None:
    """Raise DeskError where topics are gone."""
    if missing := [topic for topic in topics if topic in gone]:
        raise DeskError(
            f"no topic {' and no topic '.join(missing)}: create them with `mimamori topics apply`"
        )


def _checked(settings: ReviewSettings, partitions: dict[str, int], brokers: int) -> Cluster:
    topics = _topics(settings)
    wanted = [*topics, settings.audit_topic]
    _require(wanted, set(wanted) - partitions.keys())
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
