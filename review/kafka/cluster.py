"""Checks the Kafka cluster before Faust starts: it is reachable, has the topics, and their partitions match.

Faust would retry an unreachable broker for ever, wait silently for a missing topic, and stop with a traceback
on unequal partitions. Changes to the cluster after this check are not noticed.
"""

import asyncio
import logging

import msgspec
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # same

from review.errors import DeskError
from review.kafka.clients import client_settings
from review.settings import ReviewSettings

WANTED_REPLICAS = 3


class Cluster(msgspec.Struct, frozen=True):
    """What the desk needs to know about the cluster. `partitions` is the same for all topics."""

    brokers: int
    partitions: int
    replication_factor: int


async def inspect(settings: ReviewSettings) -> Cluster:
    """Check the cluster.

    Raises DeskError: it is unreachable, a topic is missing, partitions are unequal, or brokers are too few.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the error below reports it, once
    admin = AIOKafkaAdminClient(**client_settings(settings))
    try:
        async with asyncio.timeout(settings.connect_seconds):
            await admin.start()
            topics = [settings.cases_topic, settings.events_topic, settings.decisions_topic]
            described = await admin.describe_topics(topics)
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
    return _checked(settings, partitions, brokers)


def _checked(settings: ReviewSettings, partitions: dict[str, int], brokers: int) -> Cluster:
    topics = [settings.cases_topic, settings.events_topic, settings.decisions_topic]
    if missing := [topic for topic in topics if topic not in partitions]:
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
