"""From a platform's message to a decision that the platform believes, on a Kafka with ACLs; and forgers.

Each part has a user of its own with exactly the rights of the list. The desk is the whole Faust app; only its
web server is left out.
"""

import asyncio
import base64
import contextlib
import re
import shlex
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import schemas
from engine.bundle.signature import make_keys
from mimamori import process
from mimamori.sandbox import Sandbox
from mimamori.sandbox.logins import make_logins
from review.app import ReviewApp
from review.cases.form import Form
from review.kafka.cluster import inspect
from review.people import ROLES, Person
from review.queue.order import Filter
from review.settings import ReviewSettings
from review.settings import load_settings as load_review
from schemas.events import CaseEvent, Label, Message, Origin, ReviewCase, ReviewDecision
from schemas.rights import PARTS, rights_of
from schemas.signature import TrustedKeys, sign
from tests.fakes.guarded_calls import PATIENCE, screen, settings_of
from tests.fakes.guarded_desk import GuardedDesk, values_of, wait_for
from tests.fakes.guarded_kafka import WAY, User, guarded_kafka, whole, without_each
from worker.kafka.rights import require_rights
from worker.kafka.topics import apply_topics
from worker.settings_source import load_settings as load_worker

TOPICS = schemas.topic_names()
KEY, PUBLIC_KEY = "desk.pem", "desk.pub.pem"
TABLE_KEYS = base64.b64encode(b"a table of these tests' own desks"[:32]).decode()
AMARA = Person("amara", "Amara", frozenset(ROLES))
EVERYBODY_ELSE = ("worker", "shadow", "topics", "platform", "scaler")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sandbox]:
    """A Kafka with ACLs and every part's user. The topics' own user has made the topics."""
    with guarded_kafka() as sandbox:
        definitions = schemas.load_topics(partitions=1, replication_factor=1)
        apply_topics(config_of(whole("topics"), sandbox), definitions)
        make_keys(sandbox.folder / KEY, sandbox.folder / PUBLIC_KEY, None)
        yield sandbox


def config_of(user: User, sandbox: Sandbox) -> dict[str, Any]:
    return user.config(sandbox)


def send(
    config: dict[str, Any], topic: str, key: bytes, value: bytes, *headers: tuple[str, bytes]
) -> ck.KafkaError | None:
    """Send one record; returns what Kafka says against it."""
    said: list[ck.KafkaError | None] = []
    producer = ck.Producer(config)
    producer.produce(
        topic, value, key, headers=list(headers), on_delivery=lambda error, _: said.append(error)
    )
    assert producer.flush(PATIENCE) == 0
    return said[0]


def read(config: dict[str, Any], topic: str, wanted: Callable[[bytes], bool]) -> ck.Message:
    """The first record that is wanted, as a platform reads it."""
    group = {"group.id": whole("platform").names.platform_group, "auto.offset.reset": "earliest"}
    consumer = ck.Consumer({**config, **group, "isolation.level": "read_committed"})
    consumer.subscribe([topic])
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        record = consumer.poll(1)
        if record is not None:
            assert record.error() is None, record.error()
            if wanted(record.value() or b""):
                consumer.close()
                return record
    raise AssertionError(f"nothing wanted came on {topic}")


def fault_of(record: ck.Message, trusted: TrustedKeys) -> str | None:
    headers = record.headers()
    assert isinstance(headers, list)
    return trusted.fault(record.topic() or "", record.key(), record.value(), headers)


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for what the agents bring about."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)
    return found


@contextlib.asynccontextmanager
async def open_desk(sandbox: Sandbox, folder: Path) -> AsyncIterator[ReviewApp]:
    settings = ReviewSettings.model_validate(
        {
            **whole("desk").login(sandbox),
            "folder": folder / "desk",
            "signing_key": sandbox.folder / KEY,  # the next desk reads what this one has signed
            "table_keys": TABLE_KEYS,
            "undo_seconds": 0,
        }
    )
    settings.folder.mkdir(parents=True, exist_ok=True)
    review = ReviewApp(settings, await inspect(settings), asyncio.get_running_loop())
    await review.faust.start()
    try:
        await until(lambda: review.ready)
        yield review
    finally:
        await review.faust.stop()


def a_case(number: int) -> ReviewCase:
    origin = Origin(TOPICS[Message], 0, 1000 + number)
    return ReviewCase(
        id=schemas.case_id(origin),
        label_id=None,
        message_id=f"m-{number}",
        origin=origin,
        task="stress",
        kind="escalation",
        verdict="at_risk",
        risk=0.9,
        severity=None,
        priority=50.0,
        reasons=[],
        bundle=None,
        conversation_id=None,
        text="since the move I only speak to the cat",
        opened_at=datetime.now(UTC),
    )


def a_decision(case: ReviewCase) -> ReviewDecision:
    now = datetime.now(UTC)
    name = f"decision:{case.id}:0123456789abcdef"
    return ReviewDecision(name, case.id, case.message_id, case.task, "amara", "not_at_risk", None, None, now)


def test_the_whole_way_needs_no_other_rights(guarded: Sandbox, tmp_path: Path) -> None:
    platform = config_of(whole("platform"), guarded)
    message = Message("m-whole-way", "the lake was frozen this morning")
    assert send(platform, TOPICS[Message], b"k", schemas.encode(message)) is None
    screen(settings_of(whole("worker"), guarded), guarded, messages=1)
    label = read(platform, TOPICS[Label], lambda value: b"m-whole-way" in value)
    case_id = schemas.case_id(schemas.decode(Label, label.value() or b"").origin)

    async def review() -> None:
        async with open_desk(guarded, tmp_path) as app:
            await until(lambda: app.desk.queue(Filter(), AMARA, offset=0, limit=5).cases)
            claim = await app.desk.claim_next(AMARA, Filter())
            assert claim is not None
            assert claim.case.id == case_id
            await app.desk.decide(case_id, Form("at_risk", claim.lease), AMARA)
            await until(lambda: app.desk.find(case_id, AMARA).phase == "settled")
            assert app.desk.held() == []

    asyncio.run(review())
    decision = read(platform, TOPICS[ReviewDecision], lambda value: b"m-whole-way" in value)
    trusted = TrustedKeys.read((guarded.folder / PUBLIC_KEY).read_bytes())
    assert fault_of(decision, trusted) is None
    verify = documented_verify(guarded)
    verify(decision)
    step = read({**guarded.admin_config}, TOPICS[CaseEvent], lambda value: b'"claimed"' in value)
    assert fault_of(step, trusted) is None


def documented_verify(sandbox: Sandbox) -> Callable[[ck.Message], None]:
    """The function that the documentation shows to platforms. It reads the desk's public key."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "secure-the-connections.md").read_text()
    (code,) = re.findall(r"^```python\n(.+?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    with contextlib.chdir(sandbox.folder):
        exec(code, names)  # noqa: S102 - our own page
    function: Callable[[ck.Message], None] = names["verify"]
    return function


@pytest.mark.parametrize("part", EVERYBODY_ELSE)
@pytest.mark.parametrize("event", [ReviewDecision, CaseEvent])
def test_no_other_part_can_write_what_the_desk_writes(part: Any, event: Any, guarded: Sandbox) -> None:
    said = send(config_of(whole(part), guarded), TOPICS[event], b"k", b"{}")
    assert said is not None
    assert said.code() == ck.KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_whoever_has_the_desks_login_but_not_its_key_changes_no_case(
    guarded: Sandbox, tmp_path: Path
) -> None:
    stolen = config_of(whole("desk"), guarded)
    here, later = a_case(1), a_case(2)
    stranger = Ed25519PrivateKey.generate()
    topic = TOPICS[ReviewDecision]

    async def forge() -> None:
        async with open_desk(guarded, tmp_path) as app:
            await asyncio.to_thread(send, stolen, TOPICS[ReviewCase], here.id.encode(), schemas.encode(here))
            await until(lambda: here.id in [case.id for case in shown(app)])
            own = app.signing
            for case in (here, later):  # one decision before its case, too
                key, value = case.id.encode(), schemas.encode(a_decision(case))
                for headers in (
                    [],
                    [sign(stranger, topic, key, value)],
                    [own.sign(topic, key, value + b" ")],
                    [own.sign(TOPICS[CaseEvent], key, value)],
                ):
                    assert await asyncio.to_thread(send, stolen, topic, key, value, *headers) is None
                step = CaseEvent("case-event:x", case.id, 0, "claimed", "mallory", datetime.now(UTC), "l")
                taken = schemas.encode(step)
                await asyncio.to_thread(send, stolen, TOPICS[CaseEvent], key, taken)
            held = await until(lambda: len(app.desk.held()) == 2 and all_five(app))
            assert {each.because for entry in held for each in entry.events} == {"bad_signature"}
            assert {entry.case_id for entry in held} == {here.id, later.id}
            await asyncio.to_thread(
                send, stolen, TOPICS[ReviewCase], later.id.encode(), schemas.encode(later)
            )
            await until(lambda: later.id in [case.id for case in shown(app)])
            for case in (here, later):
                assert app.desk.find(case.id, AMARA).phase == "waiting"
                claim = await app.desk.claim(case.id, AMARA)
                await app.desk.decide(case.id, Form("at_risk", claim.lease), AMARA)
            page = app.metrics.expose(app.present, ready=True).decode()
            assert 'mimamori_review_held_events_total{because="bad_signature"} 10.0' in page

    with structlog.testing.capture_logs() as logs:
        asyncio.run(forge())
    verify = documented_verify(guarded)
    forged = read(config_of(whole("platform"), guarded), topic, lambda value: b"m-2" in value)
    with pytest.raises((InvalidSignature, KeyError)):
        verify(forged)
    told = [line for line in logs if line["event"] == "event_held"]
    assert len(told) == 10
    assert all(line["because"] == "bad_signature" for line in told)


def shown(app: ReviewApp) -> list[Any]:
    return list(app.desk.queue(Filter(), AMARA, offset=0, limit=50).cases)


def all_five(app: ReviewApp) -> list[Any]:
    held = app.desk.held()
    return held if all(len(entry.events) + entry.more == 5 for entry in held) else []


def test_a_desk_without_a_right_ends_with_one_line(guarded: Sandbox, tmp_path: Path) -> None:
    user = next(user for user in without_each("desk") if user.lacking.name.endswith("case-events"))
    settings = {**user.login(guarded), "folder": str(tmp_path / "desk"), "port": "0"}
    log = tmp_path / "desk.log"
    desk = process.start(process.DESK, settings, log)
    try:
        assert desk.wait(PATIENCE) == 1
    except subprocess.TimeoutExpired:
        desk.kill()
        raise
    name = f"CN={user.name}" if WAY == "mutual" else user.name
    last = log.read_text().splitlines()[-1]
    assert last.startswith(f"error: the Kafka user {name} lacks the right to {user.lacking}")


def test_a_right_that_is_taken_away_ends_the_desk_with_one_line_and_loses_nothing(
    guarded: Sandbox, tmp_path: Path
) -> None:
    keys = {"signing_key": guarded.folder / KEY, "table_keys": TABLE_KEYS}
    case, path = a_case(30), f"/api/v1/cases/{a_case(30).id}"
    with GuardedDesk(guarded, tmp_path, "desk-30", **keys, undo_seconds=0, shutdown_seconds=1) as desk:
        send(guarded.admin_config, TOPICS[ReviewCase], case.id.encode(), schemas.encode(case))
        amara = desk.start()
        wait_for(lambda: amara.get_json(path)[0] == 200, lambda: str(amara.get_json(path)))

        right = "Write on the topic mimamori.review-webhooks"
        with desk.without(right):
            desk.says(f"lacks the right to {right}")
            assert amara.post_json(f"{path}/claim", {})[0] == 200  # people go on
        desk.says("webhooks_go_on")
        lease = amara.get_json("/api/v1/mine")[1][0]["lease"]
        decided = {"finding": "at_risk", "lease": lease}

        right, audit = (f"Write on the topic mimamori.{name}" for name in ("case-events", "review-audit"))
        with desk.without(audit), desk.without(right):
            assert amara.post_json(f"{path}/decision", decided)[0] == 503
            status, answer = amara.post_json(f"{path}/reveal", {})
            assert (status, str(case.text) in str(answer)) == (503, False)
            assert not desk.is_ready
            desk.ends_for(right)
            desk.says(f"; {audit}")
        # A producer leaves a gap where a record was refused: the former could never write here again.
        amara = desk.start()
        assert amara.get_json(path)[1]["phase"] == "claimed"

        right = "Write on the topic mimamori.review-decisions"
        with desk.without(right):
            assert amara.post_json(f"{path}/decision", decided)[0] == 201
            desk.ends_for(right)  # though an agent tries again and again to publish
        amara = desk.start()
        wait_for(lambda: amara.get_json(path)[1]["phase"] == "settled")
    assert len(values_of(guarded.admin_config, TOPICS[ReviewDecision], case.id)) == 1
    steps = values_of(guarded.admin_config, TOPICS[CaseEvent], case.id)
    assert {schemas.decode(CaseEvent, step).action for step in steps} == {"claimed", "decided", "settled"}


def test_a_sandbox_gives_each_part_a_login_of_its_own(
    guarded: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_logins(guarded, "mimamori.")
    assert list(files) == list(PARTS)
    for part, file in files.items():
        assert file.stat().st_mode & 0o777 == 0o600
        for name, value in (line.split("=", 1) for line in file.read_text().splitlines()):
            monkeypatch.setenv(name, "".join(shlex.split(value)))
        if part == "desk":
            asyncio.run(inspect(load_review()))
        elif part in {"worker", "shadow", "platform", "scaler"}:
            require_rights(load_worker().client_config, rights_of(part))
