"""The front's own settings: environment variables that start with MIMAMORI_FRONT_, checked once at start.

What decides a score (the bundle, its device, the thresholds) are the worker's settings, MIMAMORI_…: with the
same ones, a front and a worker find the same in a text.
"""

import ipaddress
import os
from typing import Final, Self

import pydantic_settings
from pydantic import Field, FilePath, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.errors import SettingsError

ENV_PREFIX: Final = "MIMAMORI_FRONT_"
SHORTEST_TOKEN: Final = 16


class FrontSettings(BaseSettings):
    """All settings of the front. A duration is in seconds."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    # Who may ask
    host: str = Field(
        "127.0.0.1", description="Address to listen on. Without a token, only one of loopback is allowed."
    )
    port: int = Field(8088, ge=0, le=65535, description="Port to listen on; 0 takes a free one, and logs it.")
    tokens: SecretStr = Field(
        SecretStr(""),
        description=f"Bearer tokens that may ask, comma-separated, {SHORTEST_TOKEN} characters or more each.",
    )
    tokens_file: FilePath | None = Field(
        None, description="A file of further tokens, one a line; lines that start with # are comments."
    )
    tls_certificate: FilePath | None = Field(
        None,
        description="PEM of the certificate to answer by https with, read again when it is renewed; without, "
        "put TLS in front.",
    )
    tls_key: FilePath | None = Field(
        None, description="PEM of the certificate's private key, without a passphrase."
    )
    public_url: str = Field(
        "",
        description="Where clients find this front, https://screen.example.org, if a proxy changes host or "
        "scheme: Perspective's discovery document names it.",
    )

    # What answers call a task
    categories: dict[str, str] = Field(
        default_factory=dict,
        description='OpenAI\'s names for tasks, as JSON: {"self-harm": "suicide-risk"}. A task always has '
        "its own name too. A category that no task screens is never in an answer.",
    )
    attributes: dict[str, str] = Field(
        default_factory=dict,
        description='Perspective\'s names for tasks, as JSON: {"THREAT": "threats"}. A task always has its '
        "own name too, in capitals with underscores.",
    )

    # How much, how long
    deadline_s: float = Field(
        5.0,
        gt=0,
        description="A request that would wait longer for the model is refused with 503 and Retry-After.",
    )
    batch_s: float = Field(
        2.0,
        gt=0,
        description="A batch closes at what the model reads in this time, as measured, or at 512 tokens if "
        "that is more.",
    )
    max_body_bytes: int = Field(1 << 20, ge=1024, description="A larger request is refused with 413.")
    max_texts: int = Field(256, ge=1, description="A request with more texts is refused.")
    body_s: float = Field(10.0, gt=0, description="A request whose body takes longer to come is refused.")
    max_connections: int = Field(
        1024,
        ge=1,
        description="With more, the one idle longest is closed; where all wait, new ones get 503.",
    )

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _closed(self) -> Self:
        given = self.known_tokens
        if any(len(token) < SHORTEST_TOKEN for token in given):
            raise ValueError(f"a token of {ENV_PREFIX}TOKENS has fewer than {SHORTEST_TOKEN} characters")
        if self.tokens_file is not None and not given:
            raise ValueError(f"{ENV_PREFIX}TOKENS_FILE holds no token: nobody could ask")
        if not given and not self.on_loopback:
            raise ValueError(
                f"{ENV_PREFIX}HOST is no address of loopback, so that anyone who reaches it could ask: set "
                f"{ENV_PREFIX}TOKENS or {ENV_PREFIX}TOKENS_FILE"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        return self

    @property
    def known_tokens(self) -> frozenset[str]:
        """The tokens of the setting and of the file."""
        given = self.tokens.get_secret_value().split(",")
        if self.tokens_file is not None:
            # Editors on Windows begin a file with a mark.
            lines = self.tokens_file.read_text("utf-8-sig").splitlines()
            given += [line for line in lines if not line.lstrip().startswith("#")]
        return frozenset(token.strip() for token in given if token.strip())

    @property
    def on_loopback(self) -> bool:
        """Whether the front can be reached from this machine alone."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def load_front_settings(**overrides: object) -> FrontSettings:
    """Read the environment. `overrides` come from the command line.

    Raises SettingsError naming each wrong or unknown variable, never its value.
    """
    known = {ENV_PREFIX + name.upper() for name in FrontSettings.model_fields}
    if unknown := sorted(
        name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known
    ):
        raise SettingsError(f"no such setting: {', '.join(unknown)}; docs/reference/settings.md lists them")
    try:
        return FrontSettings(**overrides)  # type: ignore[arg-type] # pydantic checks them
    except ValidationError as error:
        faults = (
            f"{ENV_PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}"
            if fault["loc"]
            else fault["msg"].removeprefix("Value error, ")
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError("; ".join(faults)) from None
    except pydantic_settings.SettingsError:
        raise SettingsError(
            f'{ENV_PREFIX}CATEGORIES and {ENV_PREFIX}ATTRIBUTES must be JSON objects: {{"name": "task"}}'
        ) from None
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{ENV_PREFIX}TOKENS_FILE cannot be read as text") from None
