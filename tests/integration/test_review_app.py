"""The review desk on a real Apache Kafka: a process of its own, killed and restarted as in life.

The desk runs as its users run it, from the command line, and is asked over HTTP; what it writes is read
by an independent read-committed consumer.
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner

from mimamori import process
from mimamori.cli import app
from mimamori.sandbox import Sandbox
from review.kafka.signing import OWN_KEY
from schemas.codec import decode, encode
from schemas.events import CaseEvent, Origin, ReviewCase, ReviewDecision, Severity
from schemas.signature import sign
from tests.fakes.desk_client import DeskClient

STARTED = datetime.now(UTC)
PATIENCE = 60.0
TEXT = "since the move I only speak to the cat, and I have stopped answering my sister"


def until(
    wanted: Callable[[], Any], what: str, said: Callable[[], str] = str, patience_s: float = PATIENCE
) -> Any:
    """Poll a condition that another process brings about. `said`: what it has said, for the failure."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := wanted():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {patience_s:g} s in vain for {what}\n{said()[-4000:]}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def a_case(number: int, priority: float = 50.0, text: str | None = TEXT) -> ReviewCase:
    return ReviewCase(
        id=f"case:messages:0:{number}",
        label_id=f"label:messages:0:{number}",
        message_id=f"m-{number}",
        origin=Origin("messages", 0, number),
        task="stress",
        kind="escalation",
        verdict="at_risk",
        risk=0.9,
        severity=Severity("high" if priority >= 50 else "low", {"low": 0.2, "high": 0.8}),
        priority=priority,
        reasons=["above_upper_threshold"],
        bundle="0" * 64,
        conversation_id=None,
        text=text,
        opened_at=STARTED - timedelta(minutes=number),
    )


def a_decision(case: ReviewCase, reviewer: str = "Ben") -> ReviewDecision:
    return ReviewDecision(
        f"decision:{case.id}:{reviewer}",
        case.id,
        case.message_id,
        case.task,
        reviewer,
        "unsure",
        None,
        None,
        STARTED,
    )


class Cluster:
    """The test's own topics, written and read without the desk."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"review-{secrets.token_hex(4)}."
        self.topics = [
            f"{self.prefix}{name}"
            for name in ("review-cases", "review-decisions", "case-events", "case-subjects", "review-audit")
        ]
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        for made in self._admin.create_topics([NewTopic(topic, 2, 1) for topic in self.topics]).values():
            made.result()
        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})

    def send(self, *events: ReviewCase | ReviewDecision | CaseEvent, signed_in: Path | None = None) -> None:
        """Send events; signed with the key of the desk in this folder, or by nobody."""
        for event in events:
            match event:
                case ReviewCase():
                    topic, key = self.topics[0], event.id
                case ReviewDecision():
                    topic, key = self.topics[1], event.case_id
                case CaseEvent():
                    topic, key = self.topics[2], event.case_id
            value = encode(event)
            headers: list[tuple[str, str | bytes | None]] = []
            if signed_in is not None:
                private = load_pem_private_key((signed_in / OWN_KEY).read_bytes(), None)
                assert isinstance(private, Ed25519PrivateKey)
                headers = [sign(private, topic, key.encode(), value)]
            self._producer.produce(topic, value, key=key, headers=headers)
        assert self._producer.flush(10) == 0

    def send_raw(self, topic: int, *values: bytes | None) -> None:
        for value in values:
            self._producer.produce(self.topics[topic], value, key="k")
        assert self._producer.flush(10) == 0

    def send_aborted(self, event: ReviewCase) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.prefix}t"})
        producer.init_transactions(10)
        producer.begin_transaction()
        producer.produce(self.topics[0], encode(event), key=event.id)
        producer.flush(10)
        producer.abort_transaction(10)

    def read(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        """Everything committed on a topic, oldest first per partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.prefix + "reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        records: list[tuple[bytes | None, bytes | None]] = []
        try:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in range(2)])
            ended = 0
            while ended < 2:
                record = consumer.poll(PATIENCE)
                assert record is not None
                if record.error():
                    ended += 1
                else:
                    records.append((record.key(), record.value()))
        finally:
            consumer.close()
        return records

    def decisions(self) -> list[ReviewDecision]:
        return [decode(ReviewDecision, value) for _, value in self.read(self.topics[1]) if value is not None]

    def close(self) -> None:
        mine = [name for name in self._admin.list_topics(timeout=10).topics if name.startswith(self.prefix)]
        for deletion in self._admin.delete_topics(mine).values():
            deletion.result()
        del self._admin, self._producer  # or they would complain when the broker ends


class DeskProcess:
    """`mimamori review` as a process, and reviewers without a browser."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, **settings: str) -> None:
        self.port, self.health_port = free_port(), free_port()
        self._settings = {
            "bootstrap": bootstrap,
            "topic_prefix": prefix,
            "port": str(self.port),
            "health_port": str(self.health_port),
            "folder": str(folder),
            "table_keys": "cmF0aGVyIGEgc2VudGVuY2UgdGhhbiBhIGtleSAuLi4=",  # survives the folder's loss
            "undo_seconds": "0",
        } | settings
        self._people: dict[str, DeskClient] = {}
        self.folder = folder
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self._process = process.start(process.DESK, self._settings, self._log)
        return self

    def ready(self) -> Self:
        until(self._is_ready, "the desk", self.log)
        return self

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            return self.asked("/readyz")[0] == 200
        except OSError:
            return False

    def stop(self, number: signal.Signals, seconds: float = PATIENCE) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(seconds)

    def log(self) -> str:
        return self._log.read_text()

    def says(self, what: str) -> None:
        """Wait for a line of the log that has this in it."""
        until(lambda: what in self.log(), f"the desk to say: {what}", self.log)

    def asked(self, path: str) -> tuple[int, bytes]:
        """What the port for machines answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=PATIENCE) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def person(self, name: str = "Aoi") -> DeskClient:
        """Somebody who is signed in. A session outlives the desk that opened it, not the desk's folder."""
        if name not in self._people or self._people[name].get_json("/api/v1/session")[0] != 200:
            self._people[name] = DeskClient(f"http://127.0.0.1:{self.port}").sign_in(name)
        return self._people[name]

    def get(self, path: str) -> tuple[int, bytes]:
        status, body = self.person().get(path)
        return status, body.encode()

    def step(self, case: ReviewCase, step: str, reviewer: str = "Aoi", **fields: str) -> tuple[int, Any]:
        return self.person(reviewer).post_json(f"/api/v1/cases/{case.id}/{step}", fields)

    def decide(self, case: ReviewCase, reviewer: str = "Aoi", **fields: str) -> tuple[int, Any]:
        """Claim the case and decide it."""
        status, claim = self.step(case, "claim", reviewer)
        if status != 200:
            return status, claim
        return self.step(
            case, "decision", reviewer, **({"finding": "not_at_risk"} | fields), lease=claim["lease"]
        )

    def case(self, case: ReviewCase) -> Any:
        return msgspec.json.decode(self.get(f"/api/v1/cases/{case.id}")[1])

    def held(self) -> Any:
        return msgspec.json.decode(self.get("/api/v1/held")[1])

    def queue(self) -> list[str]:
        status, body = self.get("/api/v1/cases?limit=200")
        return [case["id"] for case in msgspec.json.decode(body)["cases"]] if status == 200 else []

    def counted(self, sample: str) -> float:
        lines = [line for line in self.asked("/metrics")[1].decode().splitlines() if line.startswith(sample)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def outcomes(self, kind: str, outcome: str) -> float:
        return self.counted(f'mimamori_review_events_total{{kind="{kind}",outcome="{outcome}"}}')


@pytest.fixture
def cluster(kafka_bootstrap: str) -> Iterator[Cluster]:
    made = Cluster(kafka_bootstrap)
    yield made
    made.close()


@pytest.fixture
def desk(cluster: Cluster, tmp_path: Path) -> Iterator[DeskProcess]:
    process = DeskProcess(cluster.bootstrap, cluster.prefix, tmp_path / "table").start().ready()
    yield process
    process.stop(signal.SIGKILL)


def test_a_case_is_listed_decided_and_gone(cluster: Cluster, desk: DeskProcess) -> None:
    urgent, other = a_case(2), a_case(1)  # of one level, the older one is the more urgent
    cluster.send(other, urgent)
    assert until(lambda: len(desk.queue()) == 2 and desk.queue(), "both cases") == [urgent.id, other.id]
    assert TEXT not in desk.get("/")[1].decode()

    status, claim = desk.step(urgent, "claim")
    assert status == 200
    assert desk.queue() == [other.id]  # at once: the answer means that the claim stands
    assert desk.step(urgent, "reveal") == (200, {"text": TEXT})
    fields = {"finding": "at_risk", "severity": "high", "note": "call the sister"}
    status, answer = desk.step(urgent, "decision", lease=claim["lease"], **fields)
    assert status == 201

    [decision] = until(cluster.decisions, "the decision")
    assert (decision.case_id, decision.finding, decision.severity) == (urgent.id, "at_risk", "high")
    assert (decision.reviewer, decision.note) == ("Aoi", None)  # a note stays at the desk
    assert desk.case(urgent)["decision"]["note"] == "call the sister"
    assert answer["decision"]["finding"] == "at_risk"
    assert cluster.read(cluster.topics[1])[0][0] == urgent.id.encode()

    assert desk.decide(urgent, finding="not_at_risk")[0] == 410
    assert desk.decide(other, finding="maybe") == (
        422,
        {
            "error": "some fields are wrong: finding",
            "fields": {"finding": "must be one of at_risk, not_at_risk, unsure"},
        },
    )
    assert desk.decide(a_case(99))[0] == 404
    assert len(cluster.decisions()) == 1
    assert desk.case(urgent)["phase"] == "settled"
    assert TEXT not in desk.log()


def test_two_reviewers_never_hold_the_same_case(cluster: Cluster, desk: DeskProcess) -> None:
    case = a_case(3)
    cluster.send(case)
    until(desk.queue, "the case")
    with ThreadPoolExecutor(8) as clicks:
        claims = list(clicks.map(lambda number: desk.step(case, "claim", f"reviewer-{number}"), range(8)))
    assert sorted(status for status, _ in claims) == [200] + [409] * 7
    [claim] = [claim for status, claim in claims if status == 200]
    holder = claim["case"]["holder"]
    with ThreadPoolExecutor(8) as clicks:
        decisions = clicks.map(
            lambda _: desk.step(case, "decision", holder, finding="not_at_risk", lease=claim["lease"]),
            range(8),
        )
        assert sorted(status for status, _ in decisions) == [201] + [410] * 7
    assert len(until(cluster.decisions, "the decision")) == 1


def test_the_table_survives_kill_and_even_the_loss_of_its_folder(
    cluster: Cluster, desk: DeskProcess, tmp_path: Path
) -> None:
    cases = [a_case(number, priority=number) for number in range(1, 11)]
    cluster.send(*cases)
    until(lambda: len(desk.queue()) == 10, "ten cases")
    assert desk.decide(cases[0])[0] == 201
    until(cluster.decisions, "the decision")
    expected = [case.id for case in reversed(cases[1:])]

    desk.stop(signal.SIGKILL)
    desk.start().ready()
    assert until(lambda: len(desk.queue()) == 9 and desk.queue(), "the table") == expected
    assert desk.decide(cases[0])[0] == 410

    assert desk.stop(signal.SIGTERM) == 0
    key = str(desk.folder / OWN_KEY)  # with the folder, an unnamed key would be lost too
    elsewhere = DeskProcess(
        cluster.bootstrap, cluster.prefix, tmp_path / "empty", STORE="memory", SIGNING_KEY=key
    )
    elsewhere.start().ready()
    try:
        assert elsewhere.queue() == expected
        assert elsewhere.decide(cases[0])[0] == 410
    finally:
        elsewhere.stop(signal.SIGKILL)


def test_a_decision_before_its_case_is_held_and_changes_nothing(cluster: Cluster, desk: DeskProcess) -> None:
    early, late = a_case(4), a_case(5)
    forged = CaseEvent(f"case-event:{early.id}:0:f", early.id, 0, "claimed", "nobody", STARTED, "l", STARTED)
    cluster.send(a_decision(early), forged, signed_in=desk.folder)
    until(lambda: desk.counted("mimamori_review_held_events_total") == 2, "both on hold")
    cluster.send(early, late, late, early)
    until(lambda: desk.outcomes("review-case", "repeated") == 2, "both cases, twice")
    assert sorted(desk.queue()) == [early.id, late.id]  # it opens as every other case does

    [held] = desk.held()
    assert held["case_id"] == early.id
    reasons = {(event["action"], event["actor"], event["because"]) for event in held["events"]}
    assert reasons == {("decision", "Ben", "unknown_case"), ("claimed", "nobody", "unknown_case")}

    assert desk.step(early, "discard")[0] == 200
    assert desk.held() == []
    assert desk.step(early, "discard")[0] == 404


def test_a_decision_that_the_desk_has_not_published_is_held(cluster: Cluster, desk: DeskProcess) -> None:
    case = a_case(5)
    cluster.send(case)
    until(desk.queue, "the case")
    forged = CaseEvent(f"case-event:{case.id}:0:f", case.id, 0, "claimed", "nobody", STARTED, "l", STARTED)
    cluster.send(a_decision(case), forged)
    cluster.send(a_decision(case), signed_in=desk.folder)
    until(lambda: desk.counted("mimamori_review_held_events_total") == 3, "the forged events")
    assert desk.queue() == [case.id]
    assert desk.decide(case)[0] == 201
    until(lambda: desk.outcomes("review-decision", "published") == 1, "the desk's own decision")
    [genuine] = [decision for decision in cluster.decisions() if decision.reviewer == "Aoi"]
    cluster.send(msgspec.structs.replace(genuine, finding="at_risk"), signed_in=desk.folder)
    until(lambda: desk.counted("mimamori_review_held_events_total") == 4, "the changed decision")
    assert {(event["action"], event["because"]) for event in desk.held()[0]["events"]} == {
        ("decision", "bad_signature"),
        ("claimed", "bad_signature"),
        ("decision", "not_of_this_desk"),
        ("decision", "not_what_was_settled"),
    }


def test_what_cannot_be_read_is_counted_shown_and_stops_nothing(cluster: Cluster, desk: DeskProcess) -> None:
    secret = b"do not print me"
    cluster.send_raw(0, b'{"id": "' + secret, b'{"text": "' + secret + b'"}', b"\xff" + secret, None)
    cluster.send_raw(1, b"[]")
    case = a_case(6)
    cluster.send(case)
    until(desk.queue, "the good case")
    until(lambda: desk.outcomes("review-decision", "unreadable") == 1, "the bad decision")
    until(lambda: desk.outcomes("review-case", "unreadable") == 4, "the bad cases")
    assert "could not be read, and are not in this queue: 5." in desk.get("/")[1].decode()
    assert secret.decode() not in desk.log()
    assert secret.decode() not in desk.get("/")[1].decode()

    desk.stop(signal.SIGKILL)
    desk.start().ready()
    assert "could not be read, and are not in this queue: 5." in desk.get("/")[1].decode()


def test_cases_of_aborted_transactions_are_not_shown_and_golden_items_like_the_others(
    cluster: Cluster, desk: DeskProcess, tmp_path: Path
) -> None:
    cluster.send_aborted(a_case(7))
    cluster.send(*(a_case(number) for number in range(10, 20)))  # both partitions get some
    until(lambda: len(desk.queue()) == 10, "the committed cases")
    until(
        lambda: desk.outcomes("review-case", "opened") == 10, "their count, which the page need not wait for"
    )
    real = desk.queue()
    item = {"id": "rent", "task": "stress", "text": "rent, and a smile", "finding": "at_risk"}
    (tmp_path / "golden.jsonl").write_text(json.dumps(item))
    ran = CliRunner().invoke(
        app,
        ["golden", str(tmp_path / "golden.jsonl"), "--copies", "3"],
        env={
            "MIMAMORI_REVIEW_BOOTSTRAP": cluster.bootstrap,
            "MIMAMORI_REVIEW_TOPIC_PREFIX": cluster.prefix,
        },
    )
    assert ran.exit_code == 0, ran.output
    found = until(lambda: len(desk.queue()) == 13 and desk.queue(), "the golden items")
    golden = set(found) - set(real)
    # Before the first case there is room, and nowhere else.
    assert golden < {f"case:messages:0:{offset}" for offset in range(10)}
    assert len(golden) == 3
    for case_id in golden:
        status, view = desk.person().get_json(f"/api/v1/cases/{case_id}")
        assert (status, view["kind"], view["levels"]) == (200, "escalation", ["low", "high"])
        assert re.fullmatch("m-[0-9]{2}", view["message_id"])


def test_a_large_case_fits_the_changelog(cluster: Cluster, desk: DeskProcess) -> None:
    large = a_case(8, text="é" * 450_000)
    cluster.send(large)
    assert until(desk.queue, "the large case") == [large.id]
    assert desk.decide(large)[0] == 201


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"BOOTSTRAP": "127.0.0.1:1", "CONNECT_SECONDS": "2"},
            "cannot reach Kafka at 127.0.0.1:1 within 2 s",
        ),
        ({"TOPIC_PREFIX": "nobody-made-these."}, "no topic nobody-made-these.review-cases"),
        ({"REPLICATION_FACTOR": "9"}, "cannot have 9 replicas"),
        ({"COLOUR": "blue"}, "no such setting: MIMAMORI_REVIEW_COLOUR"),
    ],
)
def test_a_desk_that_cannot_start_says_why_in_one_line(
    cluster: Cluster, tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    desk = DeskProcess(cluster.bootstrap, cluster.prefix, tmp_path / "table", **settings).start()
    assert desk.stop(signal.SIGCONT) == 1  # SIGCONT does nothing: it ends by itself
    assert says in desk.log()
    assert len(desk.log().splitlines()) == 1


def test_a_second_desk_on_the_same_folder_or_port_says_so(
    cluster: Cluster, desk: DeskProcess, tmp_path: Path
) -> None:
    twin = DeskProcess(cluster.bootstrap, cluster.prefix, tmp_path / "table").start()
    assert twin.stop(signal.SIGCONT) == 1
    assert "another desk keeps its table in" in twin.log()
    neighbour = DeskProcess(
        cluster.bootstrap, cluster.prefix, tmp_path / "other", PORT=str(desk.port)
    ).start()
    assert neighbour.stop(signal.SIGCONT) == 1
    assert f"cannot listen on 127.0.0.1:{desk.port}" in neighbour.log()


def test_without_a_broker_it_waits_claims_no_decision_and_sigterm_still_ends_it(tmp_path: Path) -> None:
    with Sandbox(redis=False) as sandbox:
        if "KAFKA_BOOTSTRAP" in os.environ:
            pytest.skip("the broker is somebody else's: it cannot be killed")
        cluster = Cluster(sandbox.bootstrap)
        desk = DeskProcess(
            sandbox.bootstrap, cluster.prefix, tmp_path / "table", CONFIRM_SECONDS="1", SHUTDOWN_SECONDS="3"
        )
        desk.start().ready()
        try:
            case, another = a_case(9), a_case(10)
            cluster.send(case, another)
            until(lambda: len(desk.queue()) == 2, "the cases")
            ben = desk.person("Ben")
            sandbox.kill_kafka()
            assert desk.decide(case)[0] == 503
            until(lambda: desk.asked("/readyz")[0] == 503, "the desk to be unready")
            assert b"cannot reach Kafka" in desk.asked("/readyz")[1]
            # At once, and the same for a page: nothing that cannot be written down is begun or shown.
            status, said = ben.post_json(f"/api/v1/cases/{another.id}/reveal", {})
            assert (status, "cannot reach Kafka" in said["error"]) == (503, True)
            assert "has to wait" in ben.get("/")[1]
            sandbox.start_kafka()
            desk.ready()
            assert desk.decide(another, "Ben")[0] == 201
            until(lambda: desk.case(another)["phase"] == "settled", "the decision")
            assert desk.case(case)["phase"] in {"waiting", "claimed"}
            assert [decision.case_id for decision in cluster.decisions()] == [another.id]
            sandbox.kill_kafka()
            started = time.monotonic()
            assert desk.stop(signal.SIGTERM) == 0
            assert time.monotonic() - started < 8
        finally:
            if desk._process is not None and desk._process.poll() is None:
                desk.stop(signal.SIGKILL)
