"""Webhooks end to end: a real Apache Kafka, a desk that is killed, a receiver that checks signatures."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)

from review.hooks.ledger import Entry, Ledger, NoLedgerError
from schemas.events import ReviewCase
from tests.integration.test_review_app import Cluster, DeskProcess, a_case, until

KEY = secrets.token_bytes(32)
SECRET = "whsec_" + base64.b64encode(KEY).decode()
TOLD_AT = datetime.now(UTC)


class Receiver:
    """What a platform runs. It answers 401 to what is not signed, else what `answers` says to an id."""

    def __init__(self) -> None:
        self.tries: list[tuple[str, Any]] = []
        self.forged = 0
        self.answers: Callable[[str], int] = lambda _: 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                name, at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
                wanted = hmac.new(KEY, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
                genuine = self.headers["webhook-signature"] == "v1," + base64.b64encode(wanted).decode()
                status = receiver.answers(name) if genuine else 401
                receiver.forged += not genuine
                receiver.tries.append((name, json.loads(body)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def told(self, kind: str, case: ReviewCase) -> list[Any]:
        """The tries to tell of this case, oldest first."""
        return [body for _, body in self.tries if (body["type"], body["data"]["case_id"]) == (kind, case.id)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def cluster(kafka_bootstrap: str) -> Iterator[Cluster]:
    made = Cluster(kafka_bootstrap)
    yield made
    made.close()


def make_ledger(cluster: Cluster) -> str:
    """The topic that remembers, as `mimamori topics apply` makes it."""
    topic = f"{cluster.prefix}review-webhooks"
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    new = NewTopic(topic, 1, 1, config={"cleanup.policy": "compact,delete"})
    admin.create_topics([new])[topic].result()
    until(lambda: topic in admin.list_topics(timeout=10).topics, "the topic")
    return topic


def sent_now(number: int, priority: float) -> ReviewCase:
    """A case whose deadline counts from now: 1 s at a priority of 50 or more, else far away."""
    return msgspec.structs.replace(a_case(number, priority), sent_at=datetime.now(UTC))


def test_webhooks_are_told_once_over_failures_a_missing_topic_and_kill_9(
    cluster: Cluster, receiver: Receiver, tmp_path: Path
) -> None:
    early, refused, meanwhile, last = (sent_now(number, 10) for number in (1, 2, 3, 4))
    desk = DeskProcess(
        cluster.bootstrap,
        cluster.prefix,
        tmp_path / "table",
        webhook_url=receiver.url,
        webhook_secret=SECRET,
        most_severe_minutes=str(1 / 60),
    )
    try:
        desk.start().ready()
        cluster.send(early)
        desk.says("no webhook is told until")
        assert desk.queue() == [early.id]  # the desk goes on
        assert receiver.tries == []
        make_ledger(cluster)
        until(lambda: receiver.told("case.opened", early), "the case, once the topic is there")
        assert desk.log().count("no webhook is told until") == 1

        statuses = iter([500])
        receiver.answers = lambda name: next(statuses, 200) if refused.id in name else 200
        late = sent_now(5, 90)
        cluster.send(late, refused)
        [overdue] = until(lambda: receiver.told("case.overdue", late), "the overdue case")
        assert overdue["timestamp"] >= overdue["data"]["due"]
        until(lambda: len(receiver.told("case.opened", refused)) == 2, "the second try")
        told = 'mimamori_review_webhooks_total{outcome="told"'
        until(lambda: desk.counted(told) == 4, "the notes of what was told: without one it is told again")

        desk.stop(signal.SIGKILL)
        cluster.send(meanwhile)
        desk.start().ready()
        until(lambda: receiver.told("case.opened", meanwhile), "the case that opened meanwhile")
        cluster.send(last)  # when it is told, whatever the desk's start had to tell was told
        until(lambda: receiver.told("case.opened", last), "the last case")
    finally:
        desk.stop(signal.SIGKILL)

    first, second = receiver.told("case.opened", refused)
    assert first == second
    assert [name for name, _ in receiver.tries].count(first["id"]) == 2  # in the header, too
    others = [body["id"] for _, body in receiver.tries if body != first]
    assert len(others) == len(set(others)) == 5  # four cases opened beside the refused one, and one was late
    assert receiver.forged == 0
    assert "text" not in str(receiver.tries)


@pytest.fixture
def admin(kafka_bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka_bootstrap})


async def _known(bootstrap: str, topic: str, *names: str) -> list[bool]:
    ledger = Ledger({"bootstrap_servers": bootstrap}, topic)
    try:
        await asyncio.wait_for(ledger.open(), 10)
        return [ledger.knows(name) for name in names]
    finally:
        await ledger.close()


def test_the_ledger_is_read_to_its_end_over_markers_and_gaps(cluster: Cluster, admin: AdminClient) -> None:
    topic = make_ledger(cluster)
    value = msgspec.json.encode(Entry("told", TOLD_AT))

    def write(*names: str, committed: bool = True) -> None:
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "transactional.id": f"{topic}-t"})
        producer.init_transactions(10)
        producer.begin_transaction()
        for name in names:
            producer.produce(topic, value, key=name)
        producer.flush(10)
        producer.commit_transaction(10) if committed else producer.abort_transaction(10)

    assert asyncio.run(_known(cluster.bootstrap, topic, "a")) == [False]  # nothing is there at all
    write("a", "b")  # the topic ends with a marker, which is no record
    assert asyncio.run(_known(cluster.bootstrap, topic, "a", "b")) == [True, True]
    write("c")
    write("d", committed=False)
    assert asyncio.run(_known(cluster.bootstrap, topic, "a", "c")) == [True, True]
    [gap] = admin.delete_records([TopicPartition(topic, 0, 3)]).values()  # up to the first marker
    gap.result()
    assert asyncio.run(_known(cluster.bootstrap, topic, "a", "c")) == [False, True]
    [all_of_it] = admin.delete_records([TopicPartition(topic, 0, -1)]).values()
    all_of_it.result()
    assert asyncio.run(_known(cluster.bootstrap, topic, "a", "c")) == [False, False]


def test_without_its_topic_the_ledger_says_what_to_do(kafka_bootstrap: str) -> None:
    with pytest.raises(NoLedgerError, match=r"no topic nobody-made-this: .*`mimamori topics apply`"):
        asyncio.run(_known(kafka_bootstrap, "nobody-made-this"))
