"""How a program of Mimamori gets access to Kafka: one set of settings for worker, desk and every command.

What each mechanism needs, and which of it may be renewed while a program runs, is in
docs/how-to/secure-the-connections.md. A secret that is read from a file may be replaced there: whoever runs
on looks at the file again.
"""

import base64
import binascii
import ipaddress
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr

from schemas.tls_files import FileFault, TlsFiles, read_secret

TOPIC_LETTERS: Final = "^[a-zA-Z0-9._-]*$"  # what Kafka takes in a topic's name
Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]

UNKNOWN_LIFE_S: Final = 300.0  # of a token that does not say when it ends: it is read again after that


class KafkaAccess(BaseModel):
    """The settings of a program that is a client of Kafka: a part of its own, which have a prefix."""

    # Access to Kafka
    security_protocol: Protocol = Field("PLAINTEXT", description="How to speak to Kafka.")
    sasl_mechanism: Mechanism = Field("PLAIN", description="How to log in, where the protocol is a SASL one.")
    sasl_username: str | None = Field(
        None, description="The Kafka user. With sasl_token_url, the client's id at the token endpoint."
    )
    sasl_password: SecretStr | None = Field(
        None, description="The user's password. With sasl_token_url, the client's secret."
    )
    sasl_password_file: Path | None = Field(
        None, description="A file with that password alone, in place of it. It may be replaced."
    )
    sasl_token_file: Path | None = Field(
        None,
        description="OAUTHBEARER: a file with a token that somebody else renews, such as the token of a "
        "Kubernetes service account.",
    )
    sasl_token_url: str | None = Field(
        None, description="OAUTHBEARER: the token endpoint that gives tokens for client credentials."
    )
    sasl_token_scope: str = Field("", description="The scope to ask the token endpoint for.")
    sasl_token_ca: Path | None = Field(
        None, description="PEM of the authorities of the token endpoint, in place of the system's."
    )
    ssl_ca: Path | None = Field(
        None, description="PEM of the authorities that signed the brokers, in place of the system's."
    )
    ssl_certificate: Path | None = Field(
        None,
        description="PEM of this client's certificate, for mutual TLS, and of any between it and its author.",
    )
    ssl_key: Path | None = Field(None, description="PEM of this client's private key.")
    ssl_key_password: SecretStr | None = Field(None, description="The passphrase of that key.")
    ssl_key_password_file: Path | None = Field(
        None, description="A file with that passphrase alone, in place of it."
    )

    @property
    def has_sasl(self) -> bool:
        """Whether this client logs in."""
        return self.security_protocol.startswith("SASL")

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def client_name(self) -> str:
        """Who this client is for Kafka, as far as it knows itself; empty where it has no login."""
        try:
            token = self.token_file()
            return self.sasl_username or (token.subject() if token else self.tls_files().subject())
        except FileFault:
            return ""

    def sasl_secret(self) -> str | None:
        """The password as it is now. Raises FileFault: its file cannot be read."""
        return _secret("sasl_password_file", self.sasl_password, self.sasl_password_file)

    def token_file(self) -> "TokenFile | None":
        """Where tokens are read, where they come from a file."""
        return None if self.sasl_token_file is None else TokenFile(self.sasl_token_file)

    def tls_files(self) -> TlsFiles:
        """What TLS needs. Raises FileFault: the file with the passphrase cannot be read."""
        password = _secret("ssl_key_password_file", self.ssl_key_password, self.ssl_key_password_file)
        return TlsFiles(self.ssl_ca, self.ssl_certificate, self.ssl_key, password)

    def check_texts(self, bootstrap: str, *, plain_text_allowed: bool) -> None:
        """Raise ValueError, one line: texts would go to other machines in plain text, without a login."""
        prefix = str(self.model_config.get("env_prefix", ""))
        if self.security_protocol == "PLAINTEXT" and not (plain_text_allowed or only_here(bootstrap)):
            raise ValueError(
                "security_protocol PLAINTEXT: anyone on the network path to the brokers can read what people "
                "write. Set it to SASL_SSL or SSL; or, to accept that, name plaintext_kafka in "
                f"{prefix}ALLOW_INSECURE"
            )

    def check_kafka_access(self, bootstrap: str, *, plain_text_allowed: bool) -> None:
        """Raise ValueError, one line: settings contradict one another, or leak a secret, or a file is bad."""
        prefix = str(self.model_config.get("env_prefix", ""))
        self._check_use(prefix)
        self._check_login()
        self._check_plain_text(prefix, bootstrap, allowed=plain_text_allowed)
        for first, second in (
            ("sasl_password", "sasl_password_file"),
            ("ssl_key_password", "ssl_key_password_file"),
        ):
            if getattr(self, first) and getattr(self, second):
                raise ValueError(f"{first} and {second} are both set: leave one out")
        if (self.ssl_certificate is None) != (self.ssl_key is None):
            raise ValueError("ssl_certificate and ssl_key go together")
        if (self.ssl_key_password or self.ssl_key_password_file) and self.ssl_key is None:
            raise ValueError("ssl_key_password needs ssl_key, the key that it opens")
        try:
            self.sasl_secret()
            if token := self.token_file():
                token.read()
            if self.has_tls:
                self.tls_files().check(datetime.now(UTC))
            if self.sasl_token_ca is not None:
                _check_authorities(self.sasl_token_ca)
        except FileFault as fault:
            raise ValueError(fault.line(prefix)) from None

    def _check_use(self, prefix: str) -> None:
        # A setting that the protocol ignores would give a false sense of protection, so it is refused.
        protocol = self.security_protocol
        for begins, has, remedy in (
            ("sasl_", self.has_sasl, "SASL_SSL"),
            ("ssl_", self.has_tls, "SSL or SASL_SSL"),
        ):
            unused = sorted(n for n in self.model_fields_set if n.startswith(begins) and getattr(self, n))
            if unused and not has:
                raise ValueError(
                    f"security_protocol {protocol} does not use {', '.join(unused)}: everything would "
                    f"travel in plain text. Set {prefix}SECURITY_PROTOCOL to {remedy}"
                )

    def _check_login(self) -> None:
        if not self.has_sasl:
            return
        protocol, has_password = self.security_protocol, self.sasl_password or self.sasl_password_file
        tokens = self.sasl_mechanism == "OAUTHBEARER"
        if tokens and (self.sasl_token_file is None) == (self.sasl_token_url is None):
            raise ValueError("sasl_mechanism OAUTHBEARER needs sasl_token_file, or else sasl_token_url")
        if not tokens and (self.sasl_token_file or self.sasl_token_url):
            raise ValueError(f"sasl_mechanism {self.sasl_mechanism} takes no token: set OAUTHBEARER")
        if self.sasl_token_file is not None:
            if has_password:
                raise ValueError("sasl_token_file needs no sasl_password: leave one out")
        elif not (self.sasl_username and has_password):
            what = "sasl_token_url" if tokens else f"security_protocol {protocol}"
            raise ValueError(f"{what} needs sasl_username, and sasl_password or sasl_password_file")

    def _check_plain_text(self, prefix: str, bootstrap: str, *, allowed: bool) -> None:
        if "@" in urlsplit(self.sasl_token_url or "").netloc:
            raise ValueError(
                "sasl_token_url must hold no credentials: use sasl_username and sasl_password_file"
            )
        if allowed:
            return
        remedy = f"or, to accept that, name sasl_plaintext in {prefix}ALLOW_INSECURE"
        if self.security_protocol == "SASL_PLAINTEXT" and not only_here(bootstrap):
            raise ValueError(
                "security_protocol SASL_PLAINTEXT: anyone on the network path to the brokers can read what "
                f"people wrote, and take the credentials. Set it to SASL_SSL; {remedy}"
            )
        if self.sasl_token_url is None:
            return
        url = urlsplit(self.sasl_token_url)
        if url.scheme != "https" and not (url.scheme == "http" and only_here(url.hostname or "")):
            raise ValueError(f"sasl_token_url sends the secret in plain text: use https; {remedy}")


class TokenFile:
    """A file with a token, which is read again whenever a client needs one. It does for `oauth_cb`."""

    def __init__(self, path: Path) -> None:
        """`path` is read later."""
        self._path = path

    def read(self) -> tuple[str, float]:
        """The token, and when it ends, in seconds since 1970. Raises FileFault: none, or it has expired."""
        token = read_secret("sasl_token_file", self._path)
        now = time.time()
        ends = _end_of(token) or now + UNKNOWN_LIFE_S
        if ends <= now:
            raise FileFault(
                "sasl_token_file", f"the token in {self._path} has expired: whoever writes it must renew it"
            )
        return token, ends

    def subject(self) -> str:
        """Whose the token is, by its own words. Raises FileFault."""
        return str(_claims_of(self.read()[0]).get("sub", ""))

    def __call__(self, _config: str = "") -> tuple[str, float]:
        """As librdkafka asks. Raises FileFault."""
        return self.read()


def only_here(servers: str) -> bool:
    """Whether all of these servers, host or host:port with commas between them, are this machine."""
    return all(_is_here(host_of(server)) for server in servers.split(","))


def host_of(server: str) -> str:
    """The host without protocol and port: `SASL_SSL://[::1]:9092` gives `::1`."""
    address = server.strip().rpartition("://")[2]
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.count(":") > 1 else address.partition(":")[0]


def _is_here(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _secret(setting: str, given: SecretStr | None, file: Path | None) -> str | None:
    if file is not None:
        return read_secret(setting, file)
    return given.get_secret_value() if given else None


def _check_authorities(path: Path) -> None:
    try:
        TlsFiles(path).context()
    except FileFault as fault:
        raise FileFault("sasl_token_ca", str(fault)) from None


def _end_of(token: str) -> float | None:
    try:
        return float(_claims_of(token)["exp"])
    except (KeyError, ValueError, TypeError):
        return None


def _claims_of(token: str) -> dict[str, Any]:
    """What a JWT says of itself: only Kafka verifies it. Empty where it is no JWT."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""  # noqa: PLR2004 - header, claims, signature
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
