"""Each part works on a Kafka with ACLs with exactly the rights of the list, and not with one of them less.

There is one user for each right that could be taken away. The part then makes its very calls as this user: it
must fail within a bounded time, and say which right it lacks.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import confluent_kafka as ck
import pytest

import schemas
from engine.errors import FatalError
from mimamori.sandbox import Sandbox
from mimamori.soak import canned_worker
from schemas.events import Message
from schemas.rights import Part, rights_of
from tests.fakes.guarded_kafka import User, admit_all, whole, without_each
from worker.errors import BrokerError
from worker.kafka.rights import require_rights
from worker.kafka.topics import apply_topics
from worker.settings import Settings
from worker.startup import names, require_topics

TOPICS = schemas.topic_names()
PATIENCE = 20.0


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sandbox]:
    """A Kafka with ACLs, its users, a message that becomes a case, and one that becomes a dead letter."""
    with Sandbox(redis=False, secured=True) as sandbox:
        apply_topics(sandbox.admin_config, schemas.load_topics(partitions=1, replication_factor=1))
        admit_all(sandbox)
        producer = ck.Producer(sandbox.admin_config)
        for value in (schemas.encode(Message("m-1", "the lake was frozen this morning")), b"{"):
            producer.produce(TOPICS[Message], value, b"k")
        assert producer.flush(PATIENCE) == 0
        yield sandbox


def each_without(*parts: Part) -> pytest.MarkDecorator:
    users = [user for part in parts for user in without_each(part)]
    return pytest.mark.parametrize("user", users, ids=[f"{user.part}: {user.lacking}" for user in users])


@contextmanager
def refusal_of(user: User) -> Iterator[pytest.ExceptionInfo[BrokerError]]:
    """What is inside fails, and the error says who lacks which right."""
    right = user.lacking
    name = f"{right.name}.*" if right.prefix else right.name
    who = f"^the Kafka user {user.name} lacks the right to "
    with pytest.raises(
        BrokerError, match=f"{who}.*{right.operation} on the {right.resource} {name}"
    ) as caught:
        yield caught


def settings_of(user: User, sandbox: Sandbox) -> Settings:
    return Settings(
        bootstrap=sandbox.bootstrap,
        group=user.name,
        transactional_id=f"{user.name}-1",
        kafka=dict(user.config),
        shadow=user.part == "shadow",
        health_port=0,
        lower=0.0,
        upper=0.0,
    )


def screen(settings: Settings, sandbox: Sandbox) -> None:
    """Run a worker until both messages have their outcomes. Raises the FatalError that stopped it."""
    worker = canned_worker.make(settings)
    failed: list[FatalError] = []

    def run() -> None:
        try:
            worker.run()
        except FatalError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    observer = ck.Consumer({**sandbox.admin_config, "group.id": settings.own_group})
    place = [ck.TopicPartition(TOPICS[Message], 0)]
    deadline = time.monotonic() + PATIENCE
    while thread.is_alive() and observer.committed(place, timeout=PATIENCE)[0].offset < 2:
        assert time.monotonic() < deadline, "the worker neither works nor fails"
    observer.close()
    worker.app.stop()
    thread.join(PATIENCE)
    if failed:
        raise failed[0]


@pytest.mark.parametrize("part", ["worker", "shadow"])
def test_a_worker_works_with_exactly_its_rights(part: Part, guarded: Sandbox) -> None:
    settings = settings_of(whole(part), guarded)
    require_rights(settings.client_config, rights_of(part, names(settings)))
    require_topics(settings)
    screen(settings, guarded)


@each_without("worker", "shadow")
def test_a_worker_needs_each_of_its_rights(user: User, guarded: Sandbox) -> None:
    settings = settings_of(user, guarded)
    if user.lacking.operation == "DescribeConfigs":
        with refusal_of(user):
            require_topics(settings)
    else:
        with refusal_of(user):
            screen(settings, guarded)
    if user.lacking.resource != "transactional-id":  # of which Kafka tells nothing beforehand
        with refusal_of(user) as caught:
            require_rights(settings.client_config, rights_of(user.part, names(settings)))
        assert str(caught.value).count(" on the ") == 1
