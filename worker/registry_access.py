"""The settings of access to a schema registry: a part of the worker's, which have a prefix."""

import base64
import ssl
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr

from schemas.access import only_here
from schemas.tls_files import FileFault, TlsFiles, read_secret

LabelFormat = Literal["plain", "json", "avro"]

PLAIN_TEXT: Final = "plaintext_registry"  # what MIMAMORI_ALLOW_INSECURE calls it


class RegistryAccess(BaseModel):
    """Where the schema registry is, and how this worker says who it is."""

    # Schema registry
    schema_registry_url: str = Field(
        "",
        description="A schema registry that speaks Confluent's protocol, such as http://registry:8081, or "
        "Apicurio's with /apis/ccompat/v7: messages framed as Avro or JSON are read, beside plain JSON. "
        "See docs/how-to/use-a-schema-registry.md.",
    )
    label_format: LabelFormat = Field(
        "plain",
        description="How labels are written. plain: as JSON. json, avro: framed for the schema registry, "
        "which must have the schema of labels before a worker starts (`mimamori schemas register label`).",
    )
    schema_registry_user: str | None = Field(None, description="The registry's user, or an API key.")
    schema_registry_password: SecretStr | None = Field(None, description="That user's password.")
    schema_registry_password_file: Path | None = Field(
        None, description="A file with that password alone, in place of it. It may be replaced."
    )
    schema_registry_token_file: Path | None = Field(
        None,
        description="A file with a bearer token that somebody else renews, in place of user and password.",
    )
    schema_registry_ca: Path | None = Field(
        None, description="PEM of the authorities that signed the registry, in place of the system's."
    )
    schema_registry_timeout_s: float = Field(
        5.0, gt=0, le=60, description="How long one request to the registry may take."
    )

    def authorization(self) -> str | None:
        """The header's value as it is now; None without credentials. Raises FileFault."""
        if (token_file := self.schema_registry_token_file) is not None:
            token = read_secret("schema_registry_token_file", token_file)
            return f"Bearer {_for_a_header('schema_registry_token_file', token, token_file)}"
        if self.schema_registry_user is None:
            return None
        user = _for_a_header("schema_registry_user", self.schema_registry_user)
        if (password_file := self.schema_registry_password_file) is not None:
            password = read_secret("schema_registry_password_file", password_file)
            _for_a_header("schema_registry_password_file", password, password_file)
        else:
            given = self.schema_registry_password
            password = _for_a_header("schema_registry_password", given.get_secret_value() if given else "")
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    def registry_tls(self) -> ssl.SSLContext | None:
        """The context for an https registry, with the file as it is now; None for http. Raises FileFault."""
        if urlsplit(self.schema_registry_url).scheme != "https":
            return None
        try:
            return TlsFiles(self.schema_registry_ca).context()
        except FileFault as fault:
            raise FileFault("schema_registry_ca", str(fault)) from None

    def check_registry_access(self, prefix: str, *, plain_text_allowed: bool) -> None:
        """Raise ValueError, one line: settings contradict one another, leak a secret, or a file is bad."""
        name = f"{prefix}SCHEMA_REGISTRY"
        secrets = (self.schema_registry_password, self.schema_registry_password_file)
        given = self.schema_registry_user or any(secrets) or self.schema_registry_token_file
        if not self.schema_registry_url:
            if self.label_format != "plain":
                raise ValueError(
                    f"{prefix}LABEL_FORMAT={self.label_format} needs a {name}_URL: set it, or write labels "
                    "plain"
                )
            if given or self.schema_registry_ca:
                raise ValueError(f"{name}_… needs a {name}_URL: set it, or remove what is for it")
            return
        host = self._host(name)
        if all(secrets):
            raise ValueError(f"{name}_PASSWORD and {name}_PASSWORD_FILE are both set: leave one out")
        if self.schema_registry_token_file and (self.schema_registry_user or any(secrets)):
            raise ValueError(f"{name}_TOKEN_FILE needs no user and no password: leave them out")
        if bool(self.schema_registry_user) != any(secrets):
            raise ValueError(f"{name}_USER goes with {name}_PASSWORD, or else {name}_PASSWORD_FILE")
        https = self.schema_registry_url.startswith("https://")
        if self.schema_registry_ca and not https:
            raise ValueError(f"{name}_CA is for an https {name}_URL")
        if not (https or only_here(host) or plain_text_allowed):
            # Credentials or not: a schema says which bytes of a message are its text.
            taken = ", and take the credentials" if given else ""
            raise ValueError(
                f"{name}_URL is plain http: anyone on the network path to it could say how messages are "
                f"read{taken}. Use https; or, to accept that, name {PLAIN_TEXT} in {prefix}ALLOW_INSECURE"
            )
        try:
            self.authorization()
            self.registry_tls()
        except FileFault as fault:
            raise ValueError(fault.line(prefix)) from None

    def _host(self, name: str) -> str:
        try:
            parts = urlsplit(self.schema_registry_url)
            wrong = (
                not parts.hostname or parts.scheme not in {"http", "https"} or parts.query or parts.fragment
            )
            _ = parts.port
        except ValueError:
            wrong = True
        if wrong:
            raise ValueError(f"{name}_URL must be a registry's address, such as http://registry:8081")
        if "@" in parts.netloc:
            raise ValueError(f"{name}_URL must hold no credentials: use {name}_USER and {name}_PASSWORD_FILE")
        return parts.hostname or ""


def _for_a_header(setting: str, secret: str, path: Path | None = None) -> str:
    """The secret. Raises FileFault, without it: it has what no HTTP header can hold, as a byte order mark."""
    if secret.isascii() and secret.isprintable():
        return secret
    raise FileFault(
        setting,
        f"{path or 'it'} holds more than printable ASCII (a byte order mark?): write the secret alone"
        f"{' into it' if path else ''}",
    )
