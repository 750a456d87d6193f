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
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AclBindingFilter,
    AdminClient,
)
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
from schemas.rights import PARTS, Right, rights_of
from schemas.signature import TrustedKeys, sign
from tests.fakes.desk_client import DeskClient
from tests.fakes.guarded_calls import PATIENCE, desk_login, screen, settings_of
from tests.fakes.guarded_kafka import PASSWORD, User, admit_all, whole, without_each
from tests.fakes.identity_provider import free_port
from worker.kafka.acls import admit, binding
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
    with Sandbox(redis=False, secured=True) as sandbox:
        admit_all(sandbox)
        definitions = schemas.load_topics(partitions=1, replication_factor=1)
        apply_topics(config_of(whole("topics"), sandbox), definitions)
        make_keys(sandbox.folder / KEY, sandbox.folder / PUBLIC_KEY, None)
        yield sandbox


def config_of(user: User, sandbox: Sandbox) -> dict[str, Any]:
    return {**user.config, "bootstrap.servers": sandbox.bootstrap}


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
            **desk_login(whole("desk"), sandbox),
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
    settings = {**desk_login(user, guarded), "folder": str(tmp_path / "desk"), "port": "0"}
    log = tmp_path / "desk.log"
    desk = process.start(process.DESK, settings, log)
    try:
        assert desk.wait(PATIENCE) == 1
    except subprocess.TimeoutExpired:
        desk.kill()
        raise
    assert (
        log.read_text()
        .splitlines()[-1]
        .startswith(f"error: the Kafka user {user.name} lacks the right to {user.lacking}")
    )


@contextlib.contextmanager
def without(sandbox: Sandbox, user: str, right: Right) -> Iterator[None]:
    """An administrator takes a right away, and gives it back in the end."""
    admin, granted = AdminClient(sandbox.admin_config), binding(user, right)
    pattern = AclBindingFilter(
        granted.restype,
        granted.name,
        granted.resource_pattern_type,
        granted.principal,
        granted.host,
        granted.operation,
        granted.permission_type,
    )
    (taken,) = admin.delete_acls([pattern]).values()
    assert taken.result()
    yield
    (given,) = admin.create_acls([granted]).values()
    given.result()


def test_a_right_that_is_taken_away_ends_the_desk_with_one_line_and_loses_nothing(
    guarded: Sandbox, tmp_path: Path
) -> None:
    user, health = "desk-for-a-while", free_port()
    admit(guarded.admin_config, {user: PASSWORD}, {user: [*rights_of("desk"), *rights_of("webhooks")]})
    rights = {str(right): right for right in (*rights_of("desk"), *rights_of("webhooks"))}
    settings = {
        **desk_login(User(user, "desk"), guarded),
        "folder": tmp_path / "desk",
        "signing_key": guarded.folder / KEY,
        "table_keys": TABLE_KEYS,
        "port": (port := free_port()),
        "health_port": health,
        "undo_seconds": 0,
        "shutdown_seconds": 1,
        "webhook_url": "http://127.0.0.1:9/hook",
        "webhook_secret": "whsec_" + "A" * 44,
    }
    log, admin = tmp_path / "desk.log", dict(guarded.admin_config)

    def started() -> tuple[subprocess.Popen[bytes], DeskClient]:
        desk = process.start(process.DESK, settings, log)
        process.await_ready(desk, health, log, PATIENCE)
        return desk, DeskClient(f"http://127.0.0.1:{port}").sign_in("amara")

    def ended(desk: subprocess.Popen[bytes], right: str) -> None:
        assert desk.wait(PATIENCE) == 1
        said = f"error: the Kafka user {user} lacks the right to {right} ("
        assert log.read_text().splitlines()[-1].startswith(said)

    desk, amara = started()
    case, path = a_case(30), f"/api/v1/cases/{a_case(30).id}"
    send(admin, TOPICS[ReviewCase], case.id.encode(), schemas.encode(case))
    wait_for(lambda: amara.get_json(path)[0] == 200)
    try:
        right = "Write on the topic mimamori.review-webhooks"
        with without(guarded, user, rights[right]):
            wait_for(lambda: f"lacks the right to {right}" in log.read_text())
            assert amara.post_json(f"{path}/claim", {})[0] == 200  # people go on
        wait_for(lambda: "webhooks_go_on" in log.read_text())
        lease = amara.get_json("/api/v1/mine")[1][0]["lease"]

        right = "Write on the topic mimamori.review-audit"
        with without(guarded, user, rights[right]):
            status, text = amara.post_json(f"{path}/reveal", {})
            assert (status, str(case.text) in str(text)) == (503, False)
            assert not is_ready(health)
            ended(desk, right)
        desk, amara = started()

        right = "Write on the topic mimamori.case-events"
        with without(guarded, user, rights[right]):
            assert amara.post_json(f"{path}/decision", {"finding": "at_risk", "lease": lease})[0] == 503
            assert not is_ready(health)
            ended(desk, right)
        # Its producer leaves a gap where a record was refused: an old one would never write here again.
        desk, amara = started()
        assert amara.get_json(path)[1]["phase"] == "claimed"

        right = "Write on the topic mimamori.review-decisions"
        with without(guarded, user, rights[right]):
            assert amara.post_json(f"{path}/decision", {"finding": "at_risk", "lease": lease})[0] == 201
            ended(desk, right)  # though an agent tries again and again to publish
        desk, amara = started()
        wait_for(lambda: amara.get_json(path)[1]["phase"] == "settled")
    finally:
        desk.kill()
        desk.wait()
    assert len(all_of(admin, TOPICS[ReviewDecision], case.id)) == 1
    steps = [schemas.decode(CaseEvent, value).action for value in all_of(admin, TOPICS[CaseEvent], case.id)]
    assert sorted(set(steps)) == ["claimed", "decided", "settled"]


def is_ready(port: int) -> bool:
    """Whether the desk says so; not where it has gone."""
    try:
        return DeskClient(f"http://127.0.0.1:{port}").ask("GET", "/readyz")[0] == 200
    except OSError:
        return False


def wait_for(wanted: Callable[[], Any]) -> None:
    """Poll what another process brings about."""
    deadline = time.monotonic() + PATIENCE
    while not wanted():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def all_of(config: dict[str, Any], topic: str, key: str) -> list[bytes]:
    """The values of every record with this key."""
    reader = {"group.id": "test-reader", "isolation.level": "read_committed", "enable.partition.eof": True}
    consumer = ck.Consumer({**config, **reader})
    consumer.assign([ck.TopicPartition(topic, 0, 0)])
    found = []
    while (record := consumer.poll(PATIENCE)) is not None and record.error() is None:
        if record.key() == key.encode():
            found.append(record.value() or b"")
    consumer.close()
    return found


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
