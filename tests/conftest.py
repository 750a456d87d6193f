"""Fixtures shared by all tests: the servers, started once, and ended even when a test dies."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from export.adapting.shipped import shipped_bundle
from mimamori.sandbox import Sandbox

# No timed assertions: a noisy machine would fail a law that holds.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A real Apache Kafka and a real Redis, one of each for the whole run."""
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="session")
def kafka_bootstrap(sandbox: Sandbox) -> str:
    return sandbox.bootstrap


@pytest.fixture(scope="session")
def redis_url(sandbox: Sandbox) -> str:
    return sandbox.redis_url


@pytest.fixture(scope="session")
def mimamori_home() -> Path:
    """Where downloads and built bundles are kept between runs: the Makefile's place, or the user's cache."""
    return Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser()


@pytest.fixture(scope="session")
def stress_bundle(mimamori_home: Path) -> Path:
    """The demo's bundle: the real SLM, adapted on the shipped examples."""
    mimamori_home.mkdir(parents=True, exist_ok=True)
    with FileLock(mimamori_home / "bundles.lock"):  # the suite runs in several processes
        return shipped_bundle("stress", mimamori_home / "bundles", lambda *_: None)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own MIMAMORI_… variables must not change what a test sees."""
    for name in os.environ:
        if name.startswith("MIMAMORI_") and name != "MIMAMORI_HOME":
            monkeypatch.delenv(name)
