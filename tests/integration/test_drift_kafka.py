"""`mimamori drift` on a real Apache Kafka: the newest committed labels of a topic, against a bundle."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)
from typer.testing import CliRunner

from engine.bundle import DRIFT, Bundle, write_manifest
from engine.drift import expect
from mimamori.cli import app
from schemas import encode
from schemas.events import Label, Origin, Thresholds
from tests.fakes.tiny_bundle import write_tiny_bundle
from worker.telemetry.drift import noted_of


@pytest.fixture
def topic(kafka_bootstrap: str) -> Iterator[str]:
    """A topic of two partitions; it goes with the test."""
    name = f"labels-{secrets.token_hex(4)}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result()
    yield name
    admin.delete_topics([name])[name].result()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = write_tiny_bundle(tmp_path / "bundle")
    expected = expect([noted_of(one, 20) for one in labels(made, 0, 1000, 0.1)])
    (made.path / DRIFT).write_bytes(msgspec.json.encode(expected))
    write_manifest(made.path, made.manifest)
    return Bundle.load(made.path)


def labels(bundle: Bundle, first: int, number: int, risk: float) -> list[Label]:
    return [
        Label(
            f"label:{first + at}", f"m-{first + at}", Origin("m", 0, first + at), "tiny", "clear",
            risk + 0.01 * (at % 10), None, ["below_lower_threshold"], Thresholds(0.9, 0.95, "test"), "pooled",
            bundle.fingerprint, 1, False, False, datetime(2026, 11, 1, tzinfo=UTC), "fp32-1",
        )
        for at in range(number)
    ]  # fmt: skip


def send(bootstrap: str, topic: str, found: list[Label], *, at: int, commit: bool = True) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": secrets.token_hex(4)})
    producer.init_transactions(10)
    producer.begin_transaction()
    for number, label in enumerate(found):
        producer.produce(topic, encode(label), partition=number % 2, timestamp=at + number)
    producer.flush(10)
    (producer.commit_transaction if commit else producer.abort_transaction)(10)


def test_the_newest_labels_are_compared(
    kafka_bootstrap: str, topic: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", kafka_bootstrap)
    send(kafka_bootstrap, topic, labels(bundle, 0, 700, 0.7), at=1_700_000_000_000)
    send(kafka_bootstrap, topic, labels(bundle, 1000, 700, 0.1), at=1_700_001_000_000)
    send(kafka_bootstrap, topic, labels(bundle, 2000, 50, 0.7), at=1_700_002_000_000, commit=False)

    def told(*options: str) -> dict[str, str]:
        result = CliRunner().invoke(app, ["drift", str(bundle.path), "--labels", topic, "--json", *options])
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert report["against"] == "traffic"
        return {each["signal"]: each["movement"] for each in report["signals"]}

    assert set(told("--last", "600").values()) == {"stable"}
    assert told("--last", "1400")["risk"] == "shifted"
    table = CliRunner().invoke(app, ["drift", str(bundle.path), "--labels", topic])
    assert "risk has shifted" in table.stdout
