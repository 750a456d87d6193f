"""Gives this process the environment that a container of the chart would have, files included."""

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mimamori.sandbox.certificates import Authority
from tests.deploy.chart import Manifest, Renderer, environment, pod_of

SECRETS = {
    "username": "ana",
    "password": "correct horse",
    "redis-url": "rediss://:pw@redis:6379/0",
    "cache-secret": "0123456789abcdef",
    "table-keys": "cmF0aGVyIGEgc2VudGVuY2UgdGhhbiBhIGtleSAuLi4=",
    "client-secret": "of the desk",
    "otlp": "authorization=Bearer of-the-collector",
    "webhook-secret": "whsec_bm90IGEgc2VjcmV0LCBvbmx5IGEgdGVzdA==",
}
MOUNTED, MOUNTED_REGISTRY = "/etc/mimamori/kafka", "/etc/mimamori/registry"


def enter(render: Renderer, profile: str, component: str, patch: pytest.MonkeyPatch, *changed: str) -> None:
    """Give this process the environment that the component's container would have."""
    manifests = render(profile, *changed)
    (container,) = pod_of(manifests, component)["containers"]
    given = environment(container, manifests, SECRETS)
    open_key = any("SSL_KEY" in name for name in given) and not any(
        "SSL_KEY_PASSWORD" in name for name in given
    )
    files = secret_files(b"") if open_key else secret_files()
    for name in [name for name in os.environ if name.startswith("MIMAMORI_")]:
        patch.delenv(name)
    for name, value in given.items():
        patch.setenv(name, here(value, files))


@cache
def secret_files(passphrase: bytes = b"hush") -> TemporaryDirectory[str]:
    """What the volumes `kafka` and `kafka-token` would hold."""
    made = TemporaryDirectory()
    folder, authority = Path(made.name), Authority.make()
    for name in ("kafka", "kafka-token", "registry"):
        (folder / name).mkdir()
    for name in ("ca.crt", "token-ca.crt"):
        (folder / "kafka" / name).write_bytes(authority.pem)
    authority.issue("ana", passphrase=passphrase).write(
        folder / "kafka" / "tls.crt", folder / "kafka" / "tls.key"
    )
    (folder / "kafka" / "tls.key.password").write_bytes(passphrase)
    (folder / "kafka" / "password").write_text(SECRETS["password"])
    (folder / "registry" / "ca.crt").write_bytes(authority.pem)
    (folder / "registry" / "password").write_text(SECRETS["password"])
    (folder / "kafka-token" / "token").write_text("of a service account")
    return made


def here(value: str, files: TemporaryDirectory[str] | None = None) -> str:
    """A path in the pod as one on this machine."""
    folder = (files or secret_files()).name
    for mounted in (MOUNTED, MOUNTED_REGISTRY):
        if value.startswith(mounted):
            return value.replace(mounted, f"{folder}/{Path(mounted).name}", 1)
    return value


def kafka_volume(pod: Manifest) -> Manifest:
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "kafka"]
    return dict(volume["secret"])
