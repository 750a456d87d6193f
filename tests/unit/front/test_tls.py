"""A front with a certificate of its own: limits hold before the handshake too, and it is renewed."""

import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from engine.errors import SettingsError
from review.web import tls
from tests.fakes.served_front import ServedFront, served_front
from tests.unit.review.web.test_tls import shown, wait_for, write_certificate

ALLOWED = 8
SILENT = 60


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedFront]:
    monkeypatch.setattr(tls, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(tls, "HANDSHAKE_S", 600.0)  # not their time, but their number ends connections
    write_certificate(tmp_path)
    with served_front(
        max_connections=ALLOWED, tls_certificate=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem"
    ) as it:
        yield it


def test_silent_connections_are_limited_and_shut_nobody_out(front: ServedFront, tmp_path: Path) -> None:
    port = front.service.port
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(SILENT)]
        for one in held[: SILENT - ALLOWED]:
            one.settimeout(20)
            with suppress(ConnectionResetError):
                assert one.recv(1) == b""
        trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        asked = f"https://localhost:{port}/$discovery/rest"
        with urllib.request.urlopen(asked, timeout=20, context=trusting) as answer:
            assert answer.status == 200


def test_a_renewed_certificate_is_shown_without_a_restart(front: ServedFront, tmp_path: Path) -> None:
    renewed = write_certificate(tmp_path)
    wait_for(front.service.port, renewed)
    assert shown(front.service.port) == renewed


def test_a_key_with_a_passphrase_is_named_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    file = tmp_path / "key.pem"
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        sealed = serialization.BestAvailableEncryption(b"open sesame")
        file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, sealed))
        with served_front(tls_certificate=tmp_path / "cert.pem", tls_key=file) as front:
            pass
        assert isinstance(front.error, SettingsError)
        assert "passphrase" in str(front.error)
        assert "MIMAMORI_FRONT_TLS_KEY" in str(front.error)
