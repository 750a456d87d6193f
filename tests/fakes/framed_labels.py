"""A label, and how it is written behind a registry's frame."""

from collections.abc import Callable
from datetime import UTC, datetime

from schemas.events import Label, Origin, Severity, Thresholds
from schemas.frozen import FrameFormat
from schemas.kinds import KIND_OF
from tests.fakes.schema_registry import FakeRegistry
from tests.fakes.worker_app import settings
from worker.registry.client import RegistryClient
from worker.registry.label_writing import FramedLabels
from worker.registry.subjects import register_schema
from worker.settings import Settings

KIND = KIND_OF[Label]
FORMS: tuple[FrameFormat, ...] = ("avro", "json")
NOW = datetime(2026, 11, 26, 18, 30, 0, 123_456, tzinfo=UTC)
LABEL = Label(
    "label:mimamori.messages:3:1042", "m-1002", Origin("mimamori.messages", 3, 1042), "stress", "at_risk",
    0.86, Severity("medium", {"low": 0.25, "medium": 0.5, "high": 0.25}), ["above_upper_threshold"],
    Thresholds(0.3, 0.7, "cal", 0.05), "pooled", "f" * 64, 1, False, True, NOW, "s1", 16,
)  # fmt: skip


def label_settings(registry: FakeRegistry, form: str = "plain", **more: object) -> Settings:
    return settings(None, schema_registry_url=registry.url, label_format=form, **more)


def register(registry: FakeRegistry, form: FrameFormat) -> int:
    client = RegistryClient(label_settings(registry))
    state = register_schema(client, "mimamori.", KIND, form, dry_run=False)
    assert (state.subject, state.new) == ("mimamori.labels-value", True)
    assert state.id is not None
    return state.id


def writer(form: FrameFormat, number: int = 7) -> Callable[[Label], bytes]:
    return FramedLabels(form, number).encode
