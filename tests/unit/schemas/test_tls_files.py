"""What is wrong with a PEM file, or a secret's file, is one line that names the file and its setting."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mimamori.sandbox.certificates import Authority
from schemas.tls_files import FileFault, TlsFiles, read_secret

PASSPHRASE = "open-sesame-of-the-tests"  # noqa: S105 - of a key that lives as long as a test


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> TlsFiles:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    authority.issue("ana", passphrase=PASSPHRASE.encode()).write(tmp_path / "crt", tmp_path / "key")
    return TlsFiles(tmp_path / "ca.pem", tmp_path / "crt", tmp_path / "key", PASSPHRASE)


def test_whole_files_make_a_context_and_say_who_and_until_when(files: TlsFiles) -> None:
    assert len(files.context().get_ca_certs()) == 1
    files.check(datetime.now(UTC))
    ends = files.ends_at()
    assert ends is not None
    assert timedelta(days=29) < ends - datetime.now(UTC) < timedelta(days=31)
    assert files.subject() == "CN=ana"


def test_without_an_authority_the_machines_own_are_trusted(files: TlsFiles) -> None:
    assert len(TlsFiles(None, files.certificate, files.key, PASSPHRASE).context().get_ca_certs()) != 1


def _drop(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_text(" \n")


def _junk(path: Path) -> None:
    path.write_text("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "says"), [(_drop, "no file"), (_empty, "is empty"), (_folder, "cannot read")]
)
@pytest.mark.parametrize(
    ("setting", "name"), [("ssl_ca", "ca.pem"), ("ssl_certificate", "crt"), ("ssl_key", "key")]
)
def test_a_file_that_is_not_there_is_named(
    setting: str, name: str, damage: Callable[[Path], None], says: str, files: TlsFiles, tmp_path: Path
) -> None:
    damage(tmp_path / name)
    with pytest.raises(FileFault, match=says) as fault:
        files.context()
    assert fault.value.line("P_").startswith(f"P_{setting.upper()}: ")
    assert str(tmp_path / name) in str(fault.value)


@pytest.mark.parametrize(
    ("setting", "name", "says"),
    [
        ("ssl_ca", "ca.pem", "no certificate as PEM"),
        ("ssl_certificate", "crt", "no certificate as PEM"),
        ("ssl_key", "key", "no private key as PEM"),
    ],
)
def test_a_file_that_holds_something_else_is_named(
    setting: str, name: str, says: str, files: TlsFiles, tmp_path: Path
) -> None:
    _junk(tmp_path / name)
    with pytest.raises(FileFault, match=says) as fault:
        files.context()
    assert fault.value.setting == setting


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_named(files: TlsFiles, tmp_path: Path) -> None:
    (tmp_path / "key").chmod(0)
    with pytest.raises(FileFault, match=r"key \(Permission denied\): let this user read it"):
        files.context()


@pytest.mark.parametrize("given", ["another", "", None])
def test_a_passphrase_that_does_not_open_the_key_is_told_and_not_shown(
    given: str | None, files: TlsFiles
) -> None:
    with pytest.raises(FileFault, match="passphrase") as fault:
        TlsFiles(files.ca, files.certificate, files.key, given).context()
    assert "another" not in str(fault.value)
    assert PASSPHRASE not in repr(files)


def test_a_passphrase_for_a_key_that_has_none_is_told(
    authority: Authority, files: TlsFiles, tmp_path: Path
) -> None:
    authority.issue("ana").write(tmp_path / "crt", tmp_path / "key")
    with pytest.raises(FileFault, match="has no passphrase: leave it out"):
        files.context()


def test_a_key_of_another_certificate_is_told(authority: Authority, files: TlsFiles, tmp_path: Path) -> None:
    authority.issue("ben", passphrase=PASSPHRASE.encode()).write(tmp_path / "other", tmp_path / "key")
    with pytest.raises(FileFault, match=r"does not belong to the certificate in .*crt"):
        files.context()


def test_a_certificate_that_has_expired_is_told_with_its_day(
    authority: Authority, files: TlsFiles, tmp_path: Path
) -> None:
    old = authority.issue("ana", lasts=timedelta(days=-2), passphrase=PASSPHRASE.encode())
    old.write(tmp_path / "crt", tmp_path / "key")
    day = datetime.now(UTC) - timedelta(days=2)
    with pytest.raises(FileFault, match=f"expired at {day:%Y-%m-%d}"):
        files.check(datetime.now(UTC))


def test_the_digest_changes_with_each_file_and_with_nothing_else(
    authority: Authority, files: TlsFiles, tmp_path: Path
) -> None:
    before = files.digest()
    os.utime(tmp_path / "crt", (1, 1))
    assert files.digest() == before
    seen = {before}
    for name in ("ca.pem", "crt", "key"):
        (tmp_path / name).write_bytes(authority.issue(name).certificate)
        seen.add(files.digest())
    assert len(seen) == 4


def test_a_secret_is_one_line_without_its_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b" correct horse \r\n")
    assert read_secret("x", file) == " correct horse "
    file.write_bytes(b"correct\nhorse\n")
    with pytest.raises(FileFault, match="more than one line") as fault:
        read_secret("x", file)
    assert "horse" not in str(fault.value)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(FileFault, match="UTF-8"):
        read_secret("x", file)


def test_what_tls_itself_does_not_take_is_one_line_too(tmp_path: Path) -> None:
    """A key that is too short is well-formed, and OpenSSL refuses it."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ana")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=2))
    (tmp_path / "crt").write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(FileFault, match=r"TLS does not take what .*crt holds \(.*KEY_TOO_SMALL"):
        TlsFiles(None, tmp_path / "crt", tmp_path / "key").check(datetime.now(UTC))
