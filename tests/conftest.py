"""Fixtures for all tests. The servers among them start once, and are ended even if a test dies."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from filelock import FileLock
from hypothesis import HealthCheck, settings

from engine.bundle import Bundle
from export.adapting.shipped import shipped_bundle
from export.building.build import build_bundle
from export.building.recipe import shipped_recipe
from front import startup
from mimamori.sandbox import Sandbox
from worker import app
from worker.kafka import producer
from worker.stream import watchdog
from worker.stream.watchdog import Watchdog

# Examples have no deadline, because on a busy machine a property that holds would fail by it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


class Patient(Watchdog):
    """One that ends no process."""

    def limit_s(self, tokens: int) -> float:
        """Weeks."""
        return max(super().limit_s(tokens), 1e6)


# A worker in a test's own thread would end all tests of this process with itself, without a word that anybody
# sees, should its Kafka be gone, or should a test that failed hold its engine for good: its watchdog did that
# two minutes later, in the tests of another file.
producer.NEVER_S = 1e9
app.Watchdog = startup.Watchdog = Patient  # type: ignore[attr-defined]  # imported there
# faulthandler's own, behind ours, reads the clock: where this process stood still for a second in the test of
# a limit of half a second, it ended all tests, and told it to a captured stderr only.
watchdog.LOCKED_OUT = 1000

# jsonschema would read a grammar of IRIs, which no schema here has, for more than a second in each process.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # Python's own way to say: not to be had

# No broker here lives long enough to earn back what the JVM's second compiler costs: half of a start.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A real Apache Kafka and a real Redis, which the whole run shares."""
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
    """The folder that keeps downloads and built bundles between runs: the Makefile's or the user's cache."""
    return Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser()


@pytest.fixture(scope="session")
def stress_bundle(mimamori_home: Path) -> Path:
    """The demo's bundle: the real small language model, adapted on the shipped examples."""
    mimamori_home.mkdir(parents=True, exist_ok=True)
    with FileLock(mimamori_home / "bundles.lock"):  # The suite runs in several processes.
        return shipped_bundle("stress", mimamori_home / "bundles", lambda *_: None)


@pytest.fixture(scope="session")
def risk_bundle(stress_bundle: Path, mimamori_home: Path) -> Path:
    """Another task's bundle, cut where the demo's is, so that both have one graph. Kept like that one."""
    layer = Bundle.load(stress_bundle).manifest.layer
    with FileLock(mimamori_home / "bundles.lock"):
        return shipped_bundle("suicide-risk", mimamori_home / "bundles", lambda *_: None, layer)


@pytest.fixture(scope="session")
def full_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The whole real model with the stress task's prompt, built anew from the shipped recipe, once a run."""
    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent  # the folder that all processes of a run share
    with FileLock(run / "full.lock"):
        return build_bundle(shipped_recipe("stress"), run / "full-stress")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove MIMAMORI_… variables, so that a developer's own settings do not change what a test sees."""
    for name in os.environ:
        if name.startswith("MIMAMORI_") and name != "MIMAMORI_HOME":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undo what commands configure: their logs go to a stream that a test's end closes, and say less."""
    before = structlog.get_config() if structlog.is_configured() else None
    yield
    if before is None:
        structlog.reset_defaults()
    else:
        structlog.configure(**before)
