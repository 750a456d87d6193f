"""Each part works on a Kafka with ACLs with exactly the rights of the list, and not with one of them less.

There is one user for each right that could be taken away. The part then makes its very calls as this user: it
must fail within a bounded time, and say which right it lacks.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest
from aiokafka.errors import (  # type: ignore[import-untyped]  # ships no types
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)
from structlog.testing import capture_logs

import schemas
from mimamori.sandbox import Sandbox
from mimamori.soak import canned_worker
from review.errors import DeskError
from review.kafka.cluster import inspect
from review.settings import ReviewSettings
from schemas.events import DeadLetter, Label, Message, ReviewCase, ReviewDecision
from schemas.rights import Part, rights_of
from tests.fakes.guarded_calls import (
    PATIENCE,
    TOPICS,
    screen,
    settings_of,
    use_as_others_do,
    use_as_the_desk_does,
)
from tests.fakes.guarded_kafka import User, guarded_kafka, token_for, whole, without_each
from tests.fakes.token_endpoint import CLIENT_SECRET, token_endpoint
from worker.access import options_of
from worker.errors import BrokerError
from worker.kafka.access_watch import AccessWatch
from worker.kafka.acls import admit
from worker.kafka.client import make_admin, reach
from worker.kafka.group_watch import GroupWatch
from worker.kafka.latest import latest
from worker.kafka.rights import require_rights
from worker.kafka.span import Asked, SpanReader
from worker.kafka.topics import apply_topics
from worker.settings import Settings
from worker.startup import names, require_topics
from worker.telemetry.metrics import Metrics


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sandbox]:
    """A Kafka with ACLs, its users, a message that becomes a case, and one that becomes a dead letter."""
    with guarded_kafka() as sandbox:
        apply_topics(sandbox.admin_config, schemas.load_topics(partitions=1, replication_factor=1))
        # As after a desk's first start: before, Kafka cannot tell what the desk may do with it.
        admin = AdminClient(sandbox.admin_config)
        (made,) = admin.create_topics([NewTopic("mimamori.review-cases-changelog", 1, 1)]).values()
        made.result()
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
    who = f"^the Kafka user (CN=)?{user.name} lacks the right to "
    with pytest.raises(
        BrokerError, match=f"{who}.*{right.operation} on the {right.resource} {name}"
    ) as caught:
        yield caught


@pytest.mark.parametrize("part", ["worker", "shadow"])
def test_a_worker_works_with_exactly_its_rights(part: Part, guarded: Sandbox) -> None:
    settings = settings_of(whole(part), guarded)
    require_rights(settings.client_config, rights_of(part, names(settings)))
    require_topics(settings)
    screen(settings, guarded, messages=2)


@each_without("worker", "shadow")
def test_a_worker_needs_each_of_its_rights(user: User, guarded: Sandbox) -> None:
    settings = settings_of(user, guarded)
    if user.lacking.operation == "DescribeConfigs":
        with refusal_of(user):
            require_topics(settings)
    else:
        with refusal_of(user):
            screen(settings, guarded, messages=2)
    if user.lacking.resource != "transactional-id":  # of which Kafka tells nothing beforehand
        with refusal_of(user) as caught:
            require_rights(settings.client_config, rights_of(user.part, names(settings)))
        assert str(caught.value).count(" on the ") == 1


def test_a_worker_may_look_at_its_group_with_its_rights_and_goes_on_without(guarded: Sandbox) -> None:
    """The right to read a group includes the right to describe it."""

    def refusals(user: User) -> int:
        """How often the log says, in three looks, that Kafka does not let this user see its group."""
        settings = settings_of(user, guarded)
        watch = GroupWatch(settings.client_config, settings.own_group, TOPICS[Message], look_every_s=0.1)
        deadline = time.monotonic() + PATIENCE
        with capture_logs() as logs:
            for _ in range(3):
                while not watch.glance([(TOPICS[Message], 0)]):
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                assert not watch.turn("me", 1)
        return sum(line.get("code") == "GROUP_AUTHORIZATION_FAILED" for line in logs)

    (without,) = (user for user in without_each("worker") if user.lacking.resource == "group")
    assert (refusals(whole("worker")), refusals(without)) == (0, 1)


def test_a_command_that_may_not_read_a_topic_says_so_at_once_and_golden_items_need_the_desks_rights(
    guarded: Sandbox,
) -> None:
    cases = TOPICS[ReviewCase]
    worker = settings_of(whole("worker"), guarded).client_config  # it may write cases, and not read them
    lacking = f"whole-worker lacks the right to Read on the topic {cases}"
    producer = ck.Producer(guarded.admin_config)
    producer.produce(cases, b"{}", b"k")
    assert producer.flush(PATIENCE) == 0
    with pytest.raises(BrokerError, match=lacking):
        latest(worker, cases, 10)
    with SpanReader(worker, Asked(cases)) as reader, pytest.raises(BrokerError, match=lacking):
        list(reader.records())
    desk = desk_settings(whole("desk"), guarded)
    assert latest({"bootstrap.servers": desk.bootstrap, **options_of(desk)}, cases, 10) != []


def desk_settings(user: User, sandbox: Sandbox) -> ReviewSettings:
    return ReviewSettings.model_validate(user.login(sandbox))


@each_without("webhooks")
def test_telling_webhooks_needs_each_of_its_rights(user: User, guarded: Sandbox) -> None:
    with pytest.raises((TopicAuthorizationFailedError, GroupAuthorizationFailedError)):
        asyncio.run(use_as_the_desk_does(user.lacking, user, guarded))
    settings = {"webhook_url": "https://platform.example/hook", "webhook_secret": "whsec_" + "A" * 44}
    with pytest.raises(DeskError, match=str(user.lacking)):
        asyncio.run(inspect(ReviewSettings.model_validate(user.login(guarded) | settings)))


def test_a_desk_finds_itself_allowed_with_exactly_its_rights(guarded: Sandbox) -> None:
    asyncio.run(inspect(desk_settings(whole("desk"), guarded)))


@each_without("desk")
def test_a_desk_needs_each_of_its_rights(user: User, guarded: Sandbox) -> None:
    right = user.lacking
    with pytest.raises(
        DeskError, match=f"^the Kafka user (CN=)?{user.name} lacks the right to {right}"
    ) as caught:
        asyncio.run(inspect(desk_settings(user, guarded)))
    assert str(caught.value).count(" on the ") == 1
    with pytest.raises((TopicAuthorizationFailedError, GroupAuthorizationFailedError)):
        asyncio.run(use_as_the_desk_does(right, user, guarded))


def test_topics_are_made_and_compared_with_exactly_these_rights(guarded: Sandbox) -> None:
    user = whole("topics")
    definitions = schemas.load_topics("mimamori.fresh.", partitions=1, replication_factor=1)
    for _ in range(2):
        states = apply_topics(user.config(guarded), definitions)
        assert not any(state.differences for state in states)


@each_without("topics")
def test_making_topics_needs_each_of_its_rights(user: User, guarded: Sandbox) -> None:
    definitions = schemas.load_topics(f"mimamori.{user.name}.", partitions=1, replication_factor=1)
    says = (
        f"the Kafka user (CN=)?{user.name} lacks the right to {user.lacking.operation} on the topic mimamori."
    )
    with pytest.raises(BrokerError, match=says):
        apply_topics(user.config(guarded), definitions)


def test_a_password_that_kafka_does_not_know_ends_the_start_with_one_line(guarded: Sandbox) -> None:
    login = {**whole("worker").login(guarded, "scram"), "sasl_password": "not-this-one"}
    says = f"Kafka at {guarded.encrypted.sasl} does not know the user whole-worker with this password: check "
    with pytest.raises(BrokerError, match=f"^{says}MIMAMORI_SASL_USERNAME"):
        require_topics(Settings(**login))
    with pytest.raises(DeskError, match=f"^{says}MIMAMORI_REVIEW_SASL_USERNAME"):
        asyncio.run(inspect(ReviewSettings(**login, connect_seconds=2)))


def test_a_token_of_somebody_else_ends_the_start_with_one_line(guarded: Sandbox) -> None:
    login = whole("worker").login(guarded, "token")
    login["sasl_token_file"].write_text(token_for("whole-worker", aud="another"))
    with pytest.raises(BrokerError, match=r"^Kafka at .* refuses the token of this client"):
        require_topics(Settings(**login))
    with pytest.raises(DeskError, match=r"^Kafka at .* refuses the token of this client"):
        asyncio.run(inspect(ReviewSettings(**login, connect_seconds=2)))


@pytest.mark.parametrize("way", ["mutual", "endpoint"])
def test_every_other_way_in_gives_the_same_rights(way: str, guarded: Sandbox) -> None:
    """`make test-access` passes all of these tests by each way."""
    with token_endpoint(token_for) as endpoint:
        for part in ("worker", "desk"):
            login = whole(part).login(guarded, "mutual" if way == "mutual" else "scram")
            if way == "endpoint":
                login |= {"sasl_mechanism": "OAUTHBEARER", "sasl_token_url": endpoint.url}
                login |= {"sasl_password": CLIENT_SECRET}
            if part == "desk":
                asyncio.run(inspect(ReviewSettings(**login)))
            else:
                settings = Settings(**login, group="whole-worker", transactional_id="whole-worker-1")
                require_rights(settings.client_config, rights_of(part, names(settings)))


def test_a_renewed_password_is_used_from_the_next_connection_on(guarded: Sandbox, tmp_path: Path) -> None:
    """Connections that are idle are closed, so that both clients have to log in again."""
    password = tmp_path / "password"
    password.write_text("first")
    admit(guarded.admin_config, {"renewed": "first"}, {})
    login: dict[str, Any] = {**User("renewed", "worker").login(guarded, "scram"), "sasl_password": None}
    settings = Settings(**login | {"sasl_password_file": password})
    config = {**settings.client_config, "connections.max.idle.ms": 300}
    ours, other = make_admin(config), AdminClient({**config, "log_level": 0})
    for admin in (ours, other):
        reach(admin, config, PATIENCE)
    watch = AccessWatch(settings, Metrics(), lambda: None)
    admit(guarded.admin_config, {"renewed": "second"}, {})
    password.write_text("second")
    watch.look()
    deadline = time.monotonic() + PATIENCE
    while lets_in(other):
        assert time.monotonic() < deadline, "Kafka still takes the first password"
        time.sleep(0.5)  # longer than a connection may be idle
    reach(ours, config, PATIENCE)


def lets_in(admin: AdminClient) -> bool:
    try:
        admin.list_topics(timeout=1)
    except ck.KafkaException:
        return False
    return True


def test_a_worker_whose_certificate_is_renewed_commits_what_it_has_and_ends(
    guarded: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.kafka.access_watch.LOOK_EVERY_S", 0.1)
    user = whole("worker")
    login = user.login(guarded, "mutual")
    named: dict[str, Any] = {"group": user.name, "transactional_id": f"{user.name}-2", "health_port": 0}
    worker = canned_worker.make(Settings(**login, **named, renew_within_s=0))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    assert worker.app.ready.wait(PATIENCE)
    guarded.encrypted.authority.issue(user.name).write(login["ssl_certificate"], login["ssl_key"])
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert worker.app.ended_to_renew
    screen(Settings(**login, **named), guarded, messages=2)  # the next one comes in with the new certificate


@pytest.mark.parametrize("part", ["platform", "scaler"])
def test_others_can_do_their_work_with_exactly_these_rights(part: Part, guarded: Sandbox) -> None:
    user = whole(part)
    producer = ck.Producer(guarded.admin_config)
    for event in (Label, DeadLetter, ReviewDecision):
        producer.produce(TOPICS[event], b"{}", b"k")
    assert producer.flush(PATIENCE) == 0
    for right in user.granted:
        use_as_others_do(right, user, guarded)


@each_without("platform", "scaler")
def test_others_need_each_of_their_rights(user: User, guarded: Sandbox) -> None:
    with pytest.raises(ck.KafkaException) as caught:
        use_as_others_do(user.lacking, user, guarded)
    denied = {ck.KafkaError.TOPIC_AUTHORIZATION_FAILED, ck.KafkaError.GROUP_AUTHORIZATION_FAILED}
    assert caught.value.args[0].code() in denied
