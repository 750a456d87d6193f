"""Settings of the desk's webhooks."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class HookSettings(BaseSettings):
    """Where webhooks go, and what they tell."""

    webhook_url: str | None = Field(
        default=None,
        description="Where webhooks are sent: https, or http to this machine. Unset, none are sent",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="Signs webhooks (Standard Webhooks): whsec_ and 24 or more random bytes in Base64",
    )
    webhook_types: Annotated[frozenset[Literal["case.opened", "case.overdue"]], NoDecode] = Field(
        default="case.opened,case.overdue",
        validate_default=True,
        description="What is told, comma-separated: case.opened, case.overdue",
    )
    webhook_timeout_seconds: float = Field(
        default=10, gt=0, le=60, description="How long a receiver may take to answer"
    )
    webhook_give_up_hours: float = Field(
        default=24, gt=0, description="How long a webhook is tried before it is given up, and kept as dead"
    )

    @field_validator("webhook_types", mode="before")
    @classmethod
    def _split_types(cls, value: object) -> object:
        return (
            [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
        )

    @field_validator("webhook_url")
    @classmethod
    def _encrypted(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if not parts.hostname or parts.username or parts.password:
            raise ValueError("must be a URL with a host and without credentials")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ValueError("must begin with https: a webhook names cases and conversations")
        return value
