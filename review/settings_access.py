"""The settings that say where the desk listens, who may use it, and how they are known."""

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

Names = Annotated[frozenset[str], NoDecode]

PREFIX: Final = "MIMAMORI_REVIEW_"
# The settings that one way alone reads. Where another way is set, they would protect nothing: refused.
_OIDC: Final = ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_scopes")
_PROXY: Final = ("proxy_header", "proxy_issuer", "proxy_audience", "proxy_keys_url", "proxy_sign_out_url")
_IDENTITY: Final = ("identity_ca", "id_claim", "roles_claim", "role_reviewer", "role_lead", "role_auditor")
_NEEDED: Final = {
    "local": (),
    "oidc": ("public_url", "oidc_issuer", "oidc_client_id"),
    "proxy": ("public_url", "proxy_issuer", "proxy_audience", "proxy_keys_url"),
}
_IGNORED: Final = {"local": (*_OIDC, *_PROXY, *_IDENTITY), "oidc": _PROXY, "proxy": _OIDC}


class AccessSettings(BaseModel):
    """A part of `ReviewSettings`."""

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; where access is local, one of loopback"
    )
    port: int = Field(default=6066, ge=0, le=65535, description="Port to listen on; 0 picks a free one")
    allowed_hosts: Names = Field(
        default="localhost,127.0.0.1,[::1]",
        validate_default=True,
        description="Host names that browsers may use for the desk beside that of public_url, "
        "comma-separated; * allows any",
    )
    health_host: str = Field(
        default="127.0.0.1", description="Address for probes and metrics (/livez, /readyz, /metrics)"
    )
    health_port: int = Field(
        default=6067, ge=0, le=65535, description="Port for probes and metrics; 0 picks a free one"
    )

    access: Literal["local", "oidc", "proxy"] = Field(
        default="local",
        description="local: whoever sits at this machine types a name and has every role. oidc: people sign "
        "in with an identity provider. proxy: a proxy has signed them in, and signs who they are. "
        "docs/how-to/sign-people-in.md",
    )
    public_url: str | None = Field(
        default=None,
        description="Where browsers find the desk, such as https://desk.example.org; needed unless access "
        "is local",
    )

    tls_certificate: Path | None = Field(
        default=None,
        description="PEM of the certificate, with its chain, that the desk itself shows to browsers; renewed "
        "files are read without a restart. Unless set, it speaks HTTP, and a proxy before it has one",
    )
    tls_key: Path | None = Field(default=None, description="PEM of its private key, without a passphrase")

    oidc_issuer: str | None = Field(
        default=None,
        description="The identity provider; /.well-known/openid-configuration is looked for below it",
    )
    oidc_client_id: str | None = Field(default=None, description="What the identity provider calls the desk")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="Unless the provider knows the desk as a public client, which PKCE protects"
    )
    oidc_scopes: str = Field(default="openid profile", description="Separated by spaces; openid among them")

    proxy_header: str = Field(
        default="Authorization",
        min_length=1,
        description="The header with the proxy's signed token, with or without Bearer before it",
    )
    proxy_issuer: str | None = Field(default=None, description="Who signs the proxy's token (its iss)")
    proxy_audience: str | None = Field(default=None, description="Whom it is meant for (its aud): the desk")
    proxy_keys_url: str | None = Field(
        default=None, description="Where the public keys for the proxy's tokens are (a JWKS)"
    )
    proxy_sign_out_url: str | None = Field(
        default=None, description="The proxy's page for signing out; unless set, nobody signs out at the desk"
    )

    identity_ca: Path | None = Field(
        default=None, description="PEM of the authorities that signed the identity provider's certificate"
    )
    id_claim: str = Field(
        default="sub",
        min_length=1,
        description="The claim that stays the same for a person; it is on every decision and audit record",
    )
    roles_claim: str = Field(
        default="roles",
        min_length=1,
        description="The claim with a person's roles or groups, or any other, such as email; a dot leads "
        "into an object",
    )
    role_reviewer: Names = Field(
        default="mimamori-reviewer",
        validate_default=True,
        description="Values of roles_claim that make somebody a reviewer, comma-separated",
    )
    role_lead: Names = Field(
        default="mimamori-lead", validate_default=True, description="Values that make somebody a lead"
    )
    role_auditor: Names = Field(
        default="mimamori-auditor", validate_default=True, description="Values that make somebody an auditor"
    )
    clock_leeway_seconds: float = Field(
        default=30, ge=0, le=300, description="How far the identity provider's clock may be from this one"
    )

    api_tokens: Path | None = Field(
        default=None,
        description="File with the digests of the tokens of programs that use the API: see "
        "`mimamori review-token`",
    )

    session_idle_minutes: float = Field(
        default=60, gt=0, description="A person who asks nothing for this long signs in again"
    )
    session_hours: float = Field(
        default=10,
        gt=0,
        description="Longest time between two sign-ins, and until a role that was taken away is gone",
    )
    forwarded_hops: int = Field(
        default=0,
        ge=0,
        le=8,
        description="How many proxies before the desk append to X-Forwarded-For, so that the rate limits "
        "count a browser's address and not a proxy's. Any more than there are would let a browser choose",
    )
    requests_per_minute: int = Field(
        default=600, ge=10, description="Most requests of one person; one address has four times as many"
    )
    sign_ins_per_minute: int = Field(
        default=60, ge=1, description="Most steps of signing in from one address; a sign-in takes one or two"
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return _split(value.lower()) if isinstance(value, str) else value

    @field_validator("role_reviewer", "role_lead", "role_auditor", mode="before")
    @classmethod
    def _split_roles(cls, value: object) -> object:
        return _split(value) if isinstance(value, str) else value

    @property
    def https(self) -> bool:
        """Whether browsers come by https."""
        return self.tls_certificate is not None or (self.public_url or "").startswith("https://")

    @property
    def hosts(self) -> frozenset[str]:
        """Every host name that browsers may use."""
        host = urlsplit(self.public_url or "").hostname
        bracketed = f"[{host}]" if host and ":" in host else host
        return self.allowed_hosts | ({bracketed} if bracketed else set())

    def check_access(self, *, local_beyond_loopback: bool) -> None:
        """Raise ValueError where the settings of access do not fit together, or would let anybody in."""
        if self.access == "local" and not (local_beyond_loopback or _on_loopback(self.host)):
            raise ValueError(
                f"access is local, so that anybody has every role, and host is {self.host}, so that others "
                f"reach it. Set {PREFIX}ACCESS to oidc or proxy (docs/how-to/sign-people-in.md), or "
                f"{PREFIX}HOST to 127.0.0.1"
            )
        for name in _NEEDED[self.access]:
            if not getattr(self, name):
                raise ValueError(f"access {self.access} needs {name}: set {PREFIX}{name.upper()}")
        if unused := sorted(self.model_fields_set.intersection(_IGNORED[self.access])):
            raise ValueError(f"access {self.access} does not use {', '.join(unused)}: set {PREFIX}ACCESS")
        for name in ("public_url", "oidc_issuer", "proxy_keys_url"):
            check_url(name, getattr(self, name))
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        parts = urlsplit(self.public_url or "")
        if self.tls_certificate is not None and parts.scheme == "http":
            raise ValueError("public_url must begin with https://, since tls_certificate is set")
        if parts.path.strip("/") or parts.query:
            raise ValueError("public_url has a path: the desk needs a host name of its own")
        if self.access == "oidc" and "openid" not in self.oidc_scopes.split():
            raise ValueError("oidc_scopes must name openid")


def _split(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(",") if name.strip())


def check_url(name: str, value: str | None) -> None:
    """Raise ValueError for what is no URL, or one that anybody on the way could answer for; None passes."""
    if value is None:
        return
    parts = urlsplit(value)
    readable = value.isprintable() and " " not in value  # urlsplit leaves out what is not
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment or not readable:
        raise ValueError(f"{name} must be an address such as https://login.example.org")
    if parts.scheme == "http" and not _on_loopback(parts.hostname):
        raise ValueError(f"{name} must begin with https://, unless it is on this machine")


def _on_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
