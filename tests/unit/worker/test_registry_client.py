"""What a schema registry answers, and what of it is believed, in what time."""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mimamori.sandbox.certificates import Authority
from schemas.avro import avro_schema
from schemas.kinds import KINDS
from tests.fakes.framed_messages import registry_settings
from tests.fakes.schema_registry import FakeRegistry, schema_registry
from tests.fakes.worker_app import settings
from worker.errors import RegistryError
from worker.registry import client as asking
from worker.registry.client import LARGEST, RegistryClient
from worker.startup import greet_registry


def test_a_registry_is_known_by_its_certificate(tmp_path: Path) -> None:
    authority, other = Authority.make(), Authority.make("another")
    crt, key = tmp_path / "crt", tmp_path / "key"
    authority.issue("registry", hosts=["127.0.0.1"], lasts=timedelta(days=1)).write(crt, key)
    (tmp_path / "ca").write_bytes(authority.pem)
    (tmp_path / "other").write_bytes(other.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    with schema_registry(context) as registry:
        trusting = registry_settings(registry, schema_registry_ca=tmp_path / "ca")
        assert RegistryClient(trusting).formats() == ["JSON", "PROTOBUF", "AVRO"]
        doubting = RegistryClient(registry_settings(registry, schema_registry_ca=tmp_path / "other"))
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
        RegistryClient(registry_settings(registry)).schema(1)
    assert failure.value.refused == refused


def test_references_without_end_are_a_schema_of_no_use(registry: FakeRegistry) -> None:
    again = [{"name": "A", "subject": "a", "version": 1}]
    number = registry.add(avro_schema(KINDS[0]), references=again)
    registry.subjects["a"] = [number]
    found = RegistryClient(registry_settings(registry)).schema(number)
    assert found is not None
    assert found.fault == "refers to more than 20 others, or to one that is gone"
    assert len(registry.asked) < 30


def test_an_endless_answer_that_is_no_schema_is_not_believed(registry: FakeRegistry) -> None:
    registry.lie = lambda _path: (503, b" " * (LARGEST + 1))
    for ask in (
        lambda: RegistryClient(registry_settings(registry)).schema(1),
        RegistryClient(registry_settings(registry)).formats,
    ):
        with pytest.raises(RegistryError, match="answers 503 with more than 1 MiB"):
            ask()
    registry.lie = lambda _path: (200, b" " * (LARGEST + 1))
    with pytest.raises(RegistryError, match="answers 200 with more than 1 MiB"):
        greet_registry(registry_settings(registry))


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
