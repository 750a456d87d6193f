"""What the tests of a schema registry share."""

from collections.abc import Iterator

import pytest

from tests.fakes.schema_registry import FakeRegistry, schema_registry
from worker.registry import known


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a registry waits for thousandths of a second."""
    monkeypatch.setattr(known, "BACKOFF_S", (0.005, 0.02))
    monkeypatch.setattr(known, "PAUSE_S", 0.001)
    monkeypatch.setattr(known, "DOUBT_FOR_S", 0.005)
    monkeypatch.setattr(known, "DOUBT_PAUSE_S", 0.002)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with schema_registry() as registry:
        yield registry
