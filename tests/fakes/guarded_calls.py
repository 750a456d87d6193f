"""The calls that each part of Mimamori makes, as a user of a Kafka with ACLs."""

import asyncio
import threading
import time
from functools import partial
from typing import Any

import confluent_kafka as ck
from aiokafka import (  # type: ignore[import-untyped]  # ships no types
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # same
from aiokafka.errors import for_code  # type: ignore[import-untyped]  # same
from confluent_kafka.admin import (
    AdminClient,
)

import schemas
from engine.errors import FatalError
from mimamori.sandbox import Sandbox
from mimamori.soak import canned_worker
from schemas.events import Label, Message, ReviewCase
from schemas.rights import Right
from tests.fakes.guarded_kafka import User
from worker.settings import Settings

TOPICS = schemas.topic_names()
PATIENCE = 60.0


def settings_of(user: User, sandbox: Sandbox) -> Settings:
    return Settings(
        **user.login(sandbox),
        group=user.name,
        transactional_id=f"{user.name}-1",
        shadow=user.part == "shadow",
        health_port=0,
        lower=0.0,
        upper=0.0,
    )


def screen(settings: Settings, sandbox: Sandbox, *, messages: int) -> None:
    """Run a worker until so many messages have their outcomes. Raises the FatalError that stopped it."""
    worker = canned_worker.make(settings)
    failed: list[FatalError] = []

    def run() -> None:
        try:
            worker.run()
        except FatalError as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    observer = ck.Consumer({**sandbox.admin_config, "group.id": settings.own_group})
    place = [ck.TopicPartition(TOPICS[Message], 0)]
    deadline = time.monotonic() + PATIENCE
    while thread.is_alive() and observer.committed(place, timeout=PATIENCE)[0].offset < messages:
        assert time.monotonic() < deadline, "the worker neither works nor fails"
    observer.close()
    worker.app.stop()
    thread.join(PATIENCE)
    if failed:
        raise failed[0]


async def use_as_the_desk_does(right: Right, user: User, sandbox: Sandbox) -> None:
    """Make the call of Faust's client that needs this right. Raises KafkaError."""
    login = user.aiokafka(sandbox)
    client: Any
    match right.resource, right.operation:
        case "group", _:
            client = AIOKafkaConsumer(TOPICS[ReviewCase], group_id=right.name, **login)
            call = client.getone
        case _, "Read":
            client = AIOKafkaConsumer(**login)
            client.assign([TopicPartition(right.name, 0)])
            call = client.getone
        case _, "Write":
            client = AIOKafkaProducer(**login)
            call = partial(client.send_and_wait, right.name, b"", b"k")
        case _:
            client = AIOKafkaAdminClient(**login)
            call = partial(_create, client, right.name)
    try:
        async with asyncio.timeout(PATIENCE):
            await client.start()
            await call()
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


async def _create(admin: Any, topic: str) -> None:
    (answer,) = (await admin.create_topics([NewTopic(topic, 1, 1)])).to_object()["topic_errors"]
    if answer["error_code"]:
        raise for_code(answer["error_code"])


def use_as_others_do(right: Right, user: User, sandbox: Sandbox) -> None:
    """The call of a platform's or KEDA's client that needs this right. Raises KafkaException."""
    config = user.config(sandbox)
    admin = AdminClient(config)
    if right.operation == "Write":
        failures: list[ck.KafkaError | None] = []
        producer = ck.Producer(config)
        producer.produce(right.name, b"{", b"k", on_delivery=lambda error, _: failures.append(error))
        assert producer.flush(PATIENCE) == 0
        fault = failures[0]
    elif right.operation == "Describe" and right.resource == "group":
        asked = admin.list_consumer_group_offsets([ck.ConsumerGroupTopicPartitions(right.name)])
        asked[right.name].result(PATIENCE)
        return
    elif right.operation == "Describe":
        admin.describe_topics(ck.TopicCollection([right.name]))[right.name].result(PATIENCE)
        return
    else:
        group = {"group.id": user.names.platform_group, "auto.offset.reset": "earliest"}
        consumer = ck.Consumer({**config, **group, "enable.auto.commit": False})
        consumer.subscribe([TOPICS[Label] if right.resource == "group" else right.name])
        record = consumer.poll(PATIENCE)
        consumer.close()
        assert record is not None, "neither a record nor an error"
        fault = record.error()
    if fault is not None:
        raise ck.KafkaException(fault)
