"""The stream with a schema registry: what is held, what becomes a dead letter, and that nothing is lost."""

import http.client
import io
import json
import socket
import ssl
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import fastavro
import pytest
from structlog.testing import capture_logs

import schemas
from engine.errors import MissingExtraError
from mimamori.sandbox.certificates import Authority
from schemas.avro import avro_schema
from schemas.events import DeadLetter, Label, ReviewCase
from schemas.kinds import KINDS
from tests.fakes.memory_broker import MemoryBroker
from tests.fakes.schema_registry import FakeRegistry, schema_registry
from tests.fakes.worker_app import settings, wait_for
from tests.unit.worker.test_stream import (
    CASES,
    DEAD,
    LABELS,
    CountingEngine,
    assert_exactly_once,
    drain,
    make_broker,
    message,
    outcomes,
    send,
    start,
)
from worker.errors import RecordError, RegistryError
from worker.registry import client as asking
from worker.registry import known
from worker.registry.client import LARGEST, RegistryClient
from worker.registry.framing import framed
from worker.registry.known import KnownSchemas
from worker.settings import Settings
from worker.startup import greet_registry
from worker.telemetry.metrics import Metrics

OURS = fastavro.parse_schema(avro_schema(KINDS[0]))
SECRET = "correct-horse-battery"  # noqa: S105 - to be looked for


def avro(schema_id: int, number: int, text: str = "a quiet evening at home") -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, OURS, {"id": f"m{number}", "text": f"{text} {number}"})
    return framed(schema_id, stream.getvalue())


def letters(broker: MemoryBroker) -> list[DeadLetter]:
    return [schemas.decode(DeadLetter, record.value or b"") for record in broker.read(DEAD)]


def labelled(broker: MemoryBroker) -> Counter[str]:
    return Counter(schemas.decode(Label, record.value or b"").message_id for record in broker.read(LABELS))


def value_of(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with schema_registry() as registry:
        yield registry


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "BACKOFF_S", (0.005, 0.02))
    monkeypatch.setattr(known, "PAUSE_S", 0.001)
    monkeypatch.setattr(known, "DOUBT_FOR_S", 0.005)
    monkeypatch.setattr(known, "DOUBT_PAUSE_S", 0.002)


def worker_of(registry: FakeRegistry, **more: object) -> Settings:
    return settings(None, schema_registry_url=registry.url, **more)


def test_framed_avro_framed_json_and_plain_json_of_one_topic_are_labelled_in_order(
    registry: FakeRegistry,
) -> None:
    of_avro, of_json = registry.add(avro_schema(KINDS[0])), registry.add({"type": "object"}, "JSON")
    broker = make_broker()
    for n in range(0, 90, 3):
        send(broker, avro(of_avro, n), framed(of_json, message(n + 1)), message(n + 2))
    drain(broker, [start(broker, worker_of(registry, max_records=7))])
    assert_exactly_once(broker)
    assert labelled(broker) == Counter(f"m{n}" for n in range(90))
    assert sorted(registry.asked) == [f"/schemas/ids/{of_avro}", f"/schemas/ids/{of_json}"]  # once each


def test_while_the_registry_is_away_messages_wait_and_none_is_lost(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    registry.status = 503
    broker, metrics = make_broker(), Metrics()
    send(broker, message(100), *(avro(number, n) for n in range(50)))
    with capture_logs() as logs:
        worker = start(broker, worker_of(registry), metrics=metrics)
        wait_for(lambda: value_of(metrics, "mimamori_schema_requests_total", outcome="failed") >= 3)
        assert value_of(metrics, "mimamori_records_without_schema") > 0
        assert letters(broker) == []
        assert set(labelled(broker)) <= {"m100"}
        registry.status = None
        drain(broker, [worker])
    assert_exactly_once(broker)
    assert letters(broker) == []
    assert value_of(metrics, "mimamori_records_without_schema") == 0
    away = [entry for entry in logs if entry["event"] == "schema_registry_away"]
    assert away[0]["error"] == f"the schema registry {registry.url} answers 503"
    assert any(entry["event"] == "schema_registry_answers" for entry in logs)


def test_a_silent_registry_holds_up_neither_the_polling_nor_a_drain(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    registry.slow.clear()
    broker = make_broker()
    send(broker, avro(number, 1))
    worker = start(broker, worker_of(registry, schema_registry_timeout_s=60))
    wait_for(lambda: registry.asked != [])
    polled = worker.app._intake.last_poll
    wait_for(lambda: worker.app._intake.last_poll > polled)
    worker.stop()
    assert worker.error is None
    assert outcomes(broker) == []
    registry.slow.set()
    drain(broker, [start(broker, worker_of(registry), name="next")])
    assert_exactly_once(broker)


def test_a_partition_that_is_taken_away_takes_its_held_records_along(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    registry.status = 503
    broker = make_broker()
    send(broker, *(avro(number, n) for n in range(40)))
    first = start(broker, worker_of(registry), name="a")
    wait_for(lambda: len(registry.asked) >= 2)
    second = start(broker, worker_of(registry), name="b")
    wait_for(second.app.ready.is_set)
    registry.status = None
    drain(broker, [first, second])
    assert_exactly_once(broker)


@pytest.mark.parametrize(
    ("schema", "kind", "said"),
    [
        (None, "", "is not there"),
        ("syntax = 'proto3'", "PROTOBUF", "is neither AVRO nor JSON"),
        ({"type": "record", "name": "M", "fields": []}, "AVRO", "has a record without fields"),
        ("x" * LARGEST, "JSON", "is larger than 1 MiB"),
        pytest.param(
            '{"type": "record", "doc": "\ud800"}', "AVRO", "holds half a character", id="half-a-character"
        ),
    ],
)
def test_a_schema_that_is_of_no_use_gives_dead_letters_and_is_asked_for_once(
    registry: FakeRegistry, schema: object, kind: str, said: str
) -> None:
    number = 77 if schema is None else registry.add(schema, kind)
    broker = make_broker()
    send(broker, *(avro(number, n) for n in range(20)), message(100))
    drain(broker, [start(broker, worker_of(registry))])
    assert {(letter.reason, letter.detail) for letter in letters(broker)} == {
        ("schema_mismatch", f"schema {number} of the registry {said}")
    }
    assert labelled(broker) == Counter(["m100"])
    assert set(registry.asked) == {f"/schemas/ids/{number}"}
    assert schema is None or len(registry.asked) == 1


def test_an_id_that_no_registry_can_have_is_refused_and_never_asked_for(registry: FakeRegistry) -> None:
    broker, metrics = make_broker(), Metrics()
    numbers = [2**31, 2**32 - 1]  # Confluent's answers these as an address that it does not have
    send(broker, *(avro(number, number) for number in numbers), message(100))
    drain(broker, [start(broker, worker_of(registry), metrics=metrics)])
    assert {(letter.reason, letter.detail) for letter in letters(broker)} == {
        ("schema_mismatch", f"schema {number} of the registry is not there") for number in numbers
    }
    assert labelled(broker) == Counter(["m100"])
    assert registry.asked == []
    send(broker, avro(2**31 - 1, 1))
    drain(broker, [start(broker, worker_of(registry), metrics=metrics)])
    assert set(registry.asked) == {f"/schemas/ids/{2**31 - 1}"}


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def answered(book: KnownSchemas, *values: bytes) -> int:
    """How many values are ready once a question about the next has been answered."""
    book.ready(values)
    question = book._question
    assert question is not None
    assert question.done.wait(60)
    return book.ready(values)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(known, "DOUBT_FOR_S", 3.0)
    monkeypatch.setattr(known, "DOUBT_PAUSE_S", 0.5)
    return Clock()


def test_a_schema_that_one_node_of_a_registry_does_not_know_yet_makes_no_dead_letter(
    registry: FakeRegistry, clock: Clock
) -> None:
    book = KnownSchemas(RegistryClient(worker_of(registry)), Metrics(), clock)
    value = avro(1, 1)
    for _ in range(5):
        assert answered(book, value) == 0
        clock.now += 0.5
    registry.add(avro_schema(KINDS[0]))  # the node has it now
    assert answered(book, value) == 1
    assert book.read(value).id == "m1"


def test_that_a_schema_is_not_there_is_believed_when_it_is_said_again_later(
    registry: FakeRegistry, clock: Clock
) -> None:
    book = KnownSchemas(RegistryClient(worker_of(registry)), Metrics(), clock)
    assert answered(book, avro(8, 1)) == 0
    clock.now += 0.4
    assert book.ready([avro(8, 1)]) == 0
    assert book._question is None  # it pauses
    clock.now += 2.5
    assert answered(book, avro(8, 1)) == 0
    registry.status = 503
    clock.now += 0.5
    assert answered(book, avro(8, 1)) == 0  # … and no answer is none to believe
    registry.status = None
    clock.now += 1
    assert answered(book, avro(8, 1)) == 1
    with pytest.raises(RecordError, match="schema 8 of the registry is not there"):
        book.read(avro(8, 1))
    clock.now += known.UNKNOWN_FOR_S
    assert answered(book, avro(8, 1)) == 1  # it was believed before


def test_one_invented_id_of_many_is_doubted(registry: FakeRegistry, clock: Clock) -> None:
    book = KnownSchemas(RegistryClient(worker_of(registry)), Metrics(), clock)
    assert answered(book, avro(8, 1)) == 0
    clock.now += 3
    assert answered(book, avro(8, 1)) == 1
    for number in range(9, 29):
        clock.now += 1
        assert answered(book, avro(number, 1)) == 1
    clock.now += 7  # half a minute after the first
    assert answered(book, avro(29, 1)) == 0


def test_an_id_for_each_message_costs_a_question_each_and_no_memory(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "MOST", 4)
    broker, metrics = make_broker(partitions=1), Metrics()
    send(broker, *(avro(n, n) for n in range(1000, 1060)), message(1))
    worker = start(broker, worker_of(registry), metrics=metrics)
    drain(broker, [worker])
    assert_exactly_once(broker)
    assert len(letters(broker)) == 60
    assert len(set(registry.asked)) == 60
    asked = len(registry.asked)
    assert asked == value_of(metrics, "mimamori_schema_requests_total", outcome="unknown")
    assert registry.asked.count("/schemas/ids/1000") == asked - 59  # the first alone is doubted
    book = worker.app._intake._reception._known
    assert book is not None
    assert len(book._known) == 4


def test_at_most_one_question_each_pause_is_asked(registry: FakeRegistry) -> None:
    now = 100.0
    book = KnownSchemas(RegistryClient(worker_of(registry)), Metrics(), lambda: now)
    book._no_doubt_before = now + 100
    with mock.patch.object(known, "PAUSE_S", 0.5):
        assert book.ready([avro(8, 1), avro(9, 2)]) == 0
        wait_for(lambda: book.ready([avro(8, 1), avro(9, 2)]) == 1)  # 8 is known to be unknown
        assert book.ready([avro(9, 2)]) == 0
        assert book._question is None  # not yet
        now += 0.5
        wait_for(lambda: book.ready([avro(9, 2)]) == 1)
        now += known.UNKNOWN_FOR_S
        registry.schemas[8] = {"schema": json.dumps(avro_schema(KINDS[0]))}
        wait_for(lambda: book.ready([avro(8, 1)]) == 1)
    assert book.read(avro(8, 1)).id == "m1"  # it was registered meanwhile
    assert registry.asked == ["/schemas/ids/8", "/schemas/ids/9", "/schemas/ids/8"]


def test_a_framed_value_without_a_registry_and_one_that_is_cut_are_named(registry: FakeRegistry) -> None:
    broker = make_broker()
    send(broker, avro(1, 1))
    drain(broker, [start(broker, settings())])
    send(broker, b"\x00\x00\x01")
    drain(broker, [start(broker, worker_of(registry))])
    assert [(letter.reason, letter.detail) for letter in letters(broker)] == [
        (
            "invalid_json",
            "begins with a zero byte, as framed values do: MIMAMORI_SCHEMA_REGISTRY_URL is not set",
        ),
        ("unreadable_record", "ends within the frame that a schema registry's values have"),
    ]
    assert registry.asked == []


class PoisonedEngine(CountingEngine):
    def read(self, texts: Any) -> Any:
        if any("poison" in text for text in texts):
            raise RuntimeError
        return super().read(texts)


def test_a_framed_message_that_the_model_fails_on_is_shown_to_a_person(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    broker = make_broker()
    send(broker, *(avro(number, n) for n in range(5)), avro(number, 7, "poison"))
    drain(broker, [start(broker, worker_of(registry), engine=PoisonedEngine())])
    (case,) = [
        case
        for record in broker.read(CASES)
        if (case := schemas.decode(ReviewCase, record.value or b"")).kind == "unread"
    ]
    assert (case.message_id, case.text, case.unread_because) == ("m7", "poison 7", "unscreenable")


def test_of_framed_json_that_is_no_message_a_person_sees_the_text(registry: FakeRegistry) -> None:
    number = registry.add({"type": "object"}, "JSON")
    broker = make_broker()
    send(broker, framed(number, b'{"id": 7, "text": "is anyone there"}'))
    drain(broker, [start(broker, worker_of(registry))])
    (case,) = [schemas.decode(ReviewCase, record.value or b"") for record in broker.read(CASES)]
    assert case.text == "is anyone there"


def test_credentials_are_sent_and_a_renewed_token_is_read_again(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    registry.credentials = "Basic YW5hOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ=="
    password, token = tmp_path / "password", tmp_path / "token"
    password.write_text(SECRET + "\n")
    user = {"schema_registry_user": "ana"}
    for secret in ({"schema_registry_password": SECRET}, {"schema_registry_password_file": password}):
        assert RegistryClient(worker_of(registry, **user, **secret)).schema(number)
    token.write_text("first")
    client = RegistryClient(worker_of(registry, schema_registry_token_file=token))
    with pytest.raises(RegistryError, match="answers 401: MIMAMORI_SCHEMA_REGISTRY_USER") as failure:
        client.schema(number)
    assert failure.value.refused
    registry.credentials = "Bearer second"
    token.write_text("second\n")
    assert client.schema(number)


RENEWED = [  # with a byte order mark, beyond latin-1, and what would be two headers
    "\ufeff" + SECRET,
    SECRET + "\u2026",
    SECRET + "\rX-Other: 1",
    SECRET + "\u00e9",
    SECRET + "\0",
]


@pytest.mark.parametrize("renewed", RENEWED)
@pytest.mark.parametrize("kind", ["token_file", "password_file"])
def test_a_renewed_secret_that_no_header_can_hold_is_the_files_fault_and_records_wait(
    registry: FakeRegistry, tmp_path: Path, kind: str, renewed: str
) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    path = tmp_path / "secret"
    path.write_text(SECRET)
    user = {"schema_registry_user": "ana"} if kind == "password_file" else {}
    given = worker_of(registry, **user, **{f"schema_registry_{kind}": path})
    client = RegistryClient(given)
    assert client.schema(number)
    path.write_bytes(renewed.encode())
    asks: list[Callable[[], object]] = [
        lambda: client.schema(number),
        client.formats,
        partial(greet_registry, given),
    ]
    for ask in asks:
        with pytest.raises(RegistryError, match=f"MIMAMORI_SCHEMA_REGISTRY_{kind.upper()}: ") as failure:
            ask()
        assert "printable ASCII" in str(failure.value)
        assert SECRET not in "".join(traceback.format_exception(failure.value))
    with pytest.raises(ValueError, match="printable ASCII") as refusal:
        login(url="https://registry:8081", **{kind: str(path)}, **({"user": "ana"} if user else {}))
    assert SECRET not in str(refusal.value.errors()[0]["msg"])  # type: ignore[attr-defined] # pydantic's
    path.write_text(SECRET)
    assert client.schema(number)


def test_an_address_that_http_does_not_take_is_no_fault_of_a_schema(registry: FakeRegistry) -> None:
    number = registry.add(avro_schema(KINDS[0]))
    given = settings(None, schema_registry_url=f"{registry.url}/\u00e4")
    asks: list[Callable[[], object]] = [
        lambda: RegistryClient(given).schema(number),
        partial(greet_registry, given),
    ]
    for ask in asks:
        with pytest.raises(RegistryError, match="is MIMAMORI_SCHEMA_REGISTRY_URL right") as failure:
            ask()
        assert failure.value.refused


def test_an_endless_answer_that_is_no_schema_is_not_believed(registry: FakeRegistry) -> None:
    registry.lie = lambda _path: (503, b" " * (LARGEST + 1))
    for ask in (
        lambda: RegistryClient(worker_of(registry)).schema(1),
        RegistryClient(worker_of(registry)).formats,
    ):
        with pytest.raises(RegistryError, match="answers 503 with more than 1 MiB"):
            ask()
    registry.lie = lambda _path: (200, b" " * (LARGEST + 1))
    with pytest.raises(RegistryError, match="answers 200 with more than 1 MiB"):
        greet_registry(worker_of(registry))


def test_a_start_stops_at_a_registry_that_refuses_and_waits_for_one_that_is_away(
    registry: FakeRegistry,
) -> None:
    registry.credentials = "Bearer other"
    with pytest.raises(RegistryError, match="answers 401"):
        greet_registry(worker_of(registry))
    registry.credentials = None
    greet_registry(worker_of(registry))
    with capture_logs() as logs:
        greet_registry(settings(schema_registry_url="http://127.0.0.1:9"))
    assert logs[0]["event"] == "schema_registry_away"
    assert logs[0]["error"] == "the schema registry http://127.0.0.1:9 cannot be reached (Connection refused)"


def test_a_start_without_the_extra_says_which_one(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastavro", None)
    monkeypatch.delitem(sys.modules, "worker.registry.avro")
    with pytest.raises(MissingExtraError, match=r"needs fastavro: pip install 'mimamori\[registry\]'"):
        greet_registry(worker_of(registry))
    greet_registry(settings())  # without a registry nothing is needed


def test_a_registry_is_known_by_its_certificate(tmp_path: Path) -> None:
    authority, other = Authority.make(), Authority.make("another")
    crt, key = tmp_path / "crt", tmp_path / "key"
    authority.issue("registry", hosts=["127.0.0.1"], lasts=timedelta(days=1)).write(crt, key)
    (tmp_path / "ca").write_bytes(authority.pem)
    (tmp_path / "other").write_bytes(other.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    with schema_registry(context) as registry:
        trusting = worker_of(registry, schema_registry_ca=tmp_path / "ca")
        assert RegistryClient(trusting).formats() == ["JSON", "PROTOBUF", "AVRO"]
        doubting = RegistryClient(worker_of(registry, schema_registry_ca=tmp_path / "other"))
        with pytest.raises(RegistryError, match="cannot be reached"):
            doubting.formats()


@pytest.mark.parametrize(
    ("answer", "said", "refused"),
    [
        ((302, {}), "answers 302", True),
        ((404, {"error_code": 404}), "its whole address", True),
        ((404, b"<html>"), "its whole address", True),
        ((200, b"<html>welcome</html>"), "does not answer as a schema registry does", True),
        ((200, {"schema": 7}), "does not answer as a schema registry does", True),
        ((200, b"[" * 100_000), "does not answer as a schema registry does", True),
        ((429, {}), "answers 429", False),
        ((500, {"error_code": 50001}), "answers 500", False),
    ],
)
def test_what_no_registry_answers_is_never_believed(
    registry: FakeRegistry, answer: tuple[int, Any], said: str, *, refused: bool
) -> None:
    registry.lie = lambda _path: answer
    with pytest.raises(RegistryError, match=said) as failure:
        RegistryClient(worker_of(registry)).schema(1)
    assert failure.value.refused == refused


def test_references_without_end_are_a_schema_of_no_use(registry: FakeRegistry) -> None:
    again = [{"name": "A", "subject": "a", "version": 1}]
    number = registry.add(avro_schema(KINDS[0]), references=again)
    registry.subjects["a"] = [number]
    found = RegistryClient(worker_of(registry)).schema(number)
    assert found is not None
    assert found.fault == "refers to more than 20 others, or to one that is gone"
    assert len(registry.asked) < 30


def test_a_registry_that_drips_gets_no_more_time_than_a_silent_one() -> None:
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[")
            while not ended.wait(0.01):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = RegistryClient(settings(schema_registry_url=url, schema_registry_timeout_s=1))
        try:
            with pytest.raises(RegistryError, match="does not answer in time"):
                client.formats()
        finally:
            ended.set()
            thread.join()


def test_where_the_first_address_takes_all_the_time_nothing_is_asked_of_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadline, create = threading.Event(), socket.create_connection
    received: list[bytes] = []

    def cut(connection: http.client.HTTPConnection) -> None:
        assert connection.sock is None  # so that nothing can be cut off
        deadline.set()

    def late(*given: Any, **more: Any) -> socket.socket:
        assert deadline.wait(60)
        return create(*given, **more)

    def listen(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            received.append(connection.recv(1000))

    monkeypatch.setattr(asking, "_cut", cut)
    monkeypatch.setattr(socket, "create_connection", late)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        given = settings(schema_registry_url=url, schema_registry_timeout_s=0.05)
        with pytest.raises(RegistryError, match="does not answer in time"):
            RegistryClient(given).formats()
        thread.join()
    assert received == [b""]


def login(allow_insecure: str = "", **given: str) -> Settings:
    access = {f"schema_registry_{name}": value for name, value in given.items()}
    return settings(None, allow_insecure=allow_insecure, **access)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "registry:8081"}, "URL must be a registry's address"),
        ({"url": "http://r:port"}, "URL must be a registry's address"),
        ({"url": "http://ana:pw@r:1"}, "URL must hold no credentials"),
        ({"url": "", "user": "ana"}, "needs a MIMAMORI_SCHEMA_REGISTRY_URL"),
        ({"user": "ana"}, "USER goes with"),
        ({"password": SECRET}, "USER goes with"),
        ({"user": "ana", "password": SECRET, "password_file": "none"}, "are both set"),
        ({"user": "ana", "password_file": "none"}, "SCHEMA_REGISTRY_PASSWORD_FILE: there is no file none"),
        ({"token_file": "none"}, "SCHEMA_REGISTRY_TOKEN_FILE: there is no file none"),
        ({"token_file": "t", "user": "ana", "password": SECRET}, "needs no user and no password"),
        ({"url": "http://far:1"}, "could say how messages are read. Use https; or, .* plaintext_registry in"),
        ({"url": "http://far:1", "user": "ana", "password": SECRET}, ", and take the credentials. Use https"),
        ({"url": "http://far:1", "ca": "ca.pem"}, "is for an https"),
        ({"ca": "none.pem"}, "SCHEMA_REGISTRY_CA: there is no file none.pem"),
    ],
)
def test_settings_that_contradict_one_another_or_leak_are_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        login(**{"url": "https://registry:8081", **given})
    assert SECRET not in str(refusal.value.errors()[0]["msg"])  # type: ignore[attr-defined] # pydantic's


def test_plain_text_is_allowed_by_name_and_on_this_machine() -> None:
    ana = {"user": "ana", "password": SECRET}
    login(url="http://127.0.0.1:8081", **ana)
    login("plaintext_registry", url="http://far:8081", **ana)
    login(url="http://[::1]:8081")
    login("plaintext_registry", url="http://far:8081")
