"""Settings of the desk's signature on what it writes."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings


class SigningSettings(BaseSettings):
    """Which key signs, and whose signatures count."""

    signing_key: Path | None = Field(
        default=None,
        description="PEM of the Ed25519 private key that signs what this desk writes: see "
        "`mimamori bundle keygen`. Unset, a desk that listens on loopback alone makes one in its folder",
    )
    trusted_keys: Path | None = Field(
        default=None,
        description="PEM of further public keys whose signatures count beside this desk's own: of other "
        "desks of the same topics, and of this one before its key was changed",
    )
