"""The desk with a certificate of its own: HTTPS alone, renewed without a restart, and not to be used up."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from review.errors import DeskError
from review.web import tls
from review.web.tls import Certificate
from tests.fakes.memory_review import MemoryReview
from tests.fakes.served_desk import served

PATIENCE_S = 20.0


def write_certificate(folder: Path) -> int:
    """A new key and certificate for localhost, in `cert.pem` and `key.pem`. Returns its serial number."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made.serial_number


@pytest.fixture
def serial(tmp_path: Path) -> int:
    return write_certificate(tmp_path)


@pytest.fixture
def port(serial: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    assert serial
    monkeypatch.setattr(tls, "LOOK_EVERY_S", 0.02)
    settings = {"tls_certificate": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    with served(MemoryReview(**settings)) as desk:
        yield int(desk.url.rpartition(":")[2])


def ask(port: int, folder: Path) -> tuple[int, Message]:
    """Ask for the page for signing in, trusting the certificate that lies in the folder now."""
    trusting = ssl.create_default_context(cafile=folder / "cert.pem")
    with closing(HTTPSConnection("localhost", port, timeout=PATIENCE_S, context=trusting)) as asking:
        asking.request("GET", "/sign-in", headers={"Accept": "text/html"})
        answer = asking.getresponse()
        answer.read()
        return answer.status, answer.headers


def shown(port: int) -> int:
    """The serial number of the certificate that is shown."""
    found = ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE_S)
    return x509.load_pem_x509_certificate(found.encode()).serial_number


def wait_for(port: int, serial: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while shown(port) != serial:
        assert time.monotonic() < deadline, "the renewed certificate is not shown"
        time.sleep(0.02)


def test_it_speaks_https_alone_and_its_cookies_are_secure(port: int, tmp_path: Path) -> None:
    status, headers = ask(port, tmp_path)
    assert status == 200
    assert headers["Strict-Transport-Security"].startswith("max-age=")
    cookie = headers["Set-Cookie"]
    assert cookie.startswith("__Host-mimamori-sign-in-")
    assert "Secure" in cookie.split("; ")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain:
        plain.sendall(b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(64).startswith(b"HTTP")


def test_a_renewed_certificate_is_shown_without_a_restart(port: int, serial: int, tmp_path: Path) -> None:
    assert shown(port) == serial
    renewed = write_certificate(tmp_path)
    wait_for(port, renewed)
    assert ask(port, tmp_path)[0] == 200


def test_a_spoilt_certificate_leaves_the_former_one(
    port: int, serial: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (tmp_path / "cert.pem").read_bytes()
    said = ""
    (tmp_path / "cert.pem").write_bytes(whole[:100])
    deadline = time.monotonic() + PATIENCE_S
    while "certificate_not_renewed" not in said:
        assert time.monotonic() < deadline
        time.sleep(0.02)  # the desk needs the interpreter too
        said += capsys.readouterr().out
    assert shown(port) == serial
    wait_for(port, write_certificate(tmp_path))


def test_handshakes_that_never_end_shut_nobody_out(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_S", 600.0)  # not their time, but their number ends them
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * tls.HANDSHAKES)]
    try:
        assert ask(port, tmp_path)[0] == 200
        # The oldest were hung up on; no more are held than there may be.
        deadline, ended = time.monotonic() + PATIENCE_S, 0
        for one in held[: 2 * tls.HANDSHAKES]:
            one.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                ended += one.recv(1) == b""
            except ConnectionError:
                ended += 1
        assert ended == 2 * tls.HANDSHAKES
    finally:
        for one in held:
            one.close()


def test_what_cannot_be_taken_is_named(serial: int, tmp_path: Path) -> None:
    assert serial
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    Certificate(certificate, key)
    with pytest.raises(DeskError, match=r"cannot take .*nowhere\.pem"):
        Certificate(tmp_path / "nowhere.pem", key)
    former = key.read_bytes()
    write_certificate(tmp_path)
    key.write_bytes(former)
    with pytest.raises(DeskError, match="set MIMAMORI_REVIEW_TLS_CERTIFICATE"):
        Certificate(certificate, key)
