"""The PEM files with which a client of Kafka speaks TLS: whom it trusts, and what it shows of itself."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class FileFault(ValueError):  # noqa: N818 - not yet an error: whoever knows the setting's full name makes it one
    """A file is not what a setting needs. `setting` is the setting's name without its prefix."""

    def __init__(self, setting: str, said: str) -> None:
        super().__init__(said)
        self.setting = setting

    def line(self, prefix: str) -> str:
        """What is wrong, and with which variable. It quotes nothing that a file holds."""
        return f"{prefix}{self.setting.upper()}: {self}"


def read_bytes(setting: str, path: Path) -> bytes:
    """What a file holds. Raises FileFault: it is not there, may not be read, or is empty."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        raise FileFault(setting, f"there is no file {path}: mount it, or name another") from None
    except OSError as error:
        raise FileFault(setting, f"cannot read {path} ({error.strerror}): let this user read it") from None
    if not found.strip():
        raise FileFault(setting, f"{path} is empty")
    return found


def read_secret(setting: str, path: Path) -> str:
    """The one line of a file, without its end. Raises FileFault, also where there are more lines than one."""
    try:
        found = read_bytes(setting, path).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise FileFault(setting, f"{path} is no text in UTF-8") from None
    if "\n" in found:
        raise FileFault(setting, f"{path} has more than one line: write the secret alone into it")
    return found


@dataclass(frozen=True)
class TlsFiles:
    """Each may be None: the machine's own authorities are trusted then, and no certificate is shown."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """A client's context, which verifies certificate and host name. Raises FileFault."""
        context = ssl.create_default_context()
        if self.ca is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.load_into(context)
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        """Put what the files hold now into a context, for the connections that it makes from now on.

        Authorities are added, and none is taken away. Raises FileFault; nothing was changed then.
        """
        if self.ca is not None:
            _parsed_certificate("ssl_ca", self.ca)
        self._check_pair()
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, lambda: self.key_password or "")
        except OSError as error:  # ssl.SSLError is one: a key that is too short, a digest that is too weak
            reason = getattr(error, "reason", None) or error.strerror
            which = "ssl_certificate" if self.certificate else "ssl_ca"
            raise FileFault(
                which, f"TLS does not take what {self.certificate or self.ca} holds ({reason})"
            ) from None

    def check(self, now: datetime) -> None:
        """Raise FileFault where this client's certificate has expired, or a file is not what it should be."""
        self.context()
        ends = self.ends_at()
        if ends is not None and ends <= now:
            raise FileFault(
                "ssl_certificate",
                f"the certificate in {self.certificate} expired at {ends:%Y-%m-%d %H:%M} UTC: renew it",
            )

    def ends_at(self) -> datetime | None:
        """When this client's certificate expires. Raises FileFault."""
        if self.certificate is None:
            return None
        return _parsed_certificate("ssl_certificate", self.certificate).not_valid_after_utc.astimezone(UTC)

    def subject(self) -> str:
        """Whom this client's certificate names, `CN=…`; empty where it shows none. Raises FileFault."""
        if self.certificate is None:
            return ""
        return _parsed_certificate("ssl_certificate", self.certificate).subject.rfc4514_string()

    def digest(self) -> bytes:
        """Changes with what the files hold. Raises FileFault."""
        named = {"ssl_ca": self.ca, "ssl_certificate": self.certificate, "ssl_key": self.key}
        parts = [read_bytes(name, path) for name, path in named.items() if path is not None]
        parts.append((self.key_password or "").encode())
        return sha256(b"".join(sha256(part).digest() for part in parts)).digest()

    def _check_pair(self) -> None:
        if self.certificate is None or self.key is None:
            return
        shown = _parsed_certificate("ssl_certificate", self.certificate)
        pem, password = read_bytes("ssl_key", self.key), self.key_password
        try:
            key = load_pem_private_key(pem, password.encode() if password else None)
        except TypeError:
            said = "has no passphrase" if password else "has a passphrase"
            remedy = "leave it out" if password else "name the file that holds it"
            raise FileFault("ssl_key_password_file", f"the key in {self.key} {said}: {remedy}") from None
        except (ValueError, UnsupportedAlgorithm):
            wrong = " that this passphrase opens" if password else ""
            raise FileFault("ssl_key", f"{self.key} holds no private key as PEM{wrong}") from None
        if key.public_key() != shown.public_key():
            raise FileFault(
                "ssl_key", f"the key in {self.key} does not belong to the certificate in {self.certificate}"
            )


def _parsed_certificate(setting: str, path: Path) -> x509.Certificate:
    pem = read_bytes(setting, path)
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError):
        raise FileFault(setting, f"{path} holds no certificate as PEM") from None
