"""`mimamori audit` on a real Apache Kafka: what was written, what was forged, and what is no record."""

import csv
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from engine.errors import FatalError, MimamoriError, TaskError
from mimamori.cli import app
from schemas.codec import encode
from schemas.events import AuditRecord
from schemas.signature import sign
from schemas.topics import load_topics
from worker.kafka.topics import apply_topics

NOW = datetime.now(UTC)


class AuditTopic:
    """A topic of audit records with three partitions, and the key of the desk that writes it."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.prefix = f"audit-{secrets.token_hex(4)}."
        self.name = f"{self.prefix}review-audit"
        self._client: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap}
        definitions = load_topics(self.prefix, partitions=3, replication_factor=1)
        apply_topics(self._client, [each for each in definitions if each.name == self.name])
        self._producer = Producer(self._client)
        self._key = Ed25519PrivateKey.generate()
        self.keys = folder / "desks.pem"
        self.keys.write_bytes(
            self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )

    def write(self, *records: AuditRecord, key: Ed25519PrivateKey | None = None) -> None:
        for record in records:
            name, value = (record.case_id or record.actor).encode(), encode(record)
            header = sign(key or self._key, self.name, name, value)
            self._producer.produce(self.name, value, name, headers=[header])
        assert self._producer.flush(10) == 0

    def write_raw(self, value: bytes | None) -> None:
        self._producer.produce(self.name, value, "k", headers=[("mimamori-signature", b"x")])
        assert self._producer.flush(10) == 0

    def close(self) -> None:
        admin = AdminClient(self._client)  # the answer is lost with it
        for deletion in admin.delete_topics([self.name]).values():
            deletion.result(10)


@pytest.fixture
def topic(kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AuditTopic]:
    made = AuditTopic(kafka_bootstrap, tmp_path)
    monkeypatch.setenv("MIMAMORI_REVIEW_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("MIMAMORI_REVIEW_TOPIC_PREFIX", made.prefix)
    monkeypatch.setenv("MIMAMORI_REVIEW_TRUSTED_KEYS", str(made.keys))
    monkeypatch.setenv("MIMAMORI_REVIEW_FOLDER", str(tmp_path / "none"))
    yield made
    made.close()


def _record(number: int, action: str = "revealed", actor: str = "ana", hours_ago: float = 0.5) -> AuditRecord:
    return AuditRecord(
        f"audit:{number}",
        NOW - timedelta(hours=hours_ago),
        actor,
        ["reviewer"],
        action,
        f"case:messages:0:{number}",
    )


def _run(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": "40"})
    if isinstance(ran.exception, MimamoriError):
        raise ran.exception
    assert ran.exit_code == 0, ran.output
    return ran.output


def _exported(file: Path, *arguments: str) -> list[tuple[str, str]]:
    _run(*arguments, "--out", str(file))
    if file.suffix == ".csv":
        with file.open(newline="") as lines:
            return [(row["id"], row["signature"]) for row in csv.DictReader(lines)]
    rows = [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]
    return [(row["id"], row["signature"]) for row in rows]


def test_who_saw_what_is_found_by_time_case_person_and_action(topic: AuditTopic, tmp_path: Path) -> None:
    topic.write(
        _record(1, hours_ago=3), _record(2, "decided", hours_ago=2), _record(3, actor="ben", hours_ago=1)
    )
    everything = [(f"audit:{number}", "valid") for number in (1, 2, 3)]
    assert _exported(tmp_path / "all.csv") == everything
    assert _exported(tmp_path / "all.jsonl") == everything
    assert _exported(tmp_path / "late.jsonl", "--since", "90m") == everything[2:]
    until = (NOW - timedelta(hours=1.5)).isoformat()
    assert _exported(tmp_path / "early.jsonl", "--until", until) == everything[:2]
    assert _exported(tmp_path / "case.csv", "--case", "case:messages:0:2") == [everything[1]]
    assert _exported(tmp_path / "ben.csv", "--actor", "ben") == [everything[2]]
    assert _exported(tmp_path / "did.csv", "--action", "decided") == [everything[1]]
    shown = _run("--case", "case:messages:0:2")
    assert "decided" in shown
    assert "case:messages:0:2" in shown


def test_what_was_forged_copied_or_is_no_record_is_said(topic: AuditTopic, tmp_path: Path) -> None:
    topic.write(_record(1, hours_ago=2), _record(1, hours_ago=2))
    topic.write(_record(2), key=Ed25519PrivateKey.generate())
    for value in (b"\xff", b"{}", None):
        topic.write_raw(value)
    assert _exported(tmp_path / "all.csv") == [("audit:1", "valid"), ("audit:2", "unknown_key")]
    said = _run()
    assert "1 of them were not signed by a desk" in said
    assert "3 records of the topic are no audit records" in said


def test_an_empty_log_is_no_error(topic: AuditTopic, tmp_path: Path) -> None:
    assert topic.name
    assert _exported(tmp_path / "none.csv", "--since", "4w") == []
    assert "nothing of that is written down" in _run()


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (["--since", "yesterday"], TaskError, "--since yesterday: give 90m, 24h"),
        (["--until", "999999w"], TaskError, "--until 999999w: give"),
        (["--out", "audit.xlsx"], TaskError, r"name a \.csv or a \.jsonl file"),
        (["--out", "/nowhere/audit.csv"], TaskError, "cannot write /nowhere/audit.csv: No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    topic: AuditTopic, arguments: list[str], kind: type[MimamoriError], says: str
) -> None:
    assert topic.name
    with pytest.raises(kind, match=says):
        _run(*arguments)


def test_no_topic_no_kafka_and_bad_keys_are_said(
    topic: AuditTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic.keys.write_bytes(b"no key")
    with pytest.raises(FatalError, match=r"desks\.pem is not a PEM file of Ed25519 public keys"):
        _run()
    monkeypatch.delenv("MIMAMORI_REVIEW_TRUSTED_KEYS")
    topic.write(_record(1))
    assert _exported(tmp_path / "all.csv") == [("audit:1", "unknown_key")]
    monkeypatch.setenv("MIMAMORI_REVIEW_TOPIC_PREFIX", "nobody-made-these.")
    with pytest.raises(FatalError, match=r"no topic nobody-made-these\.review-audit: create it"):
        _run()
    monkeypatch.setenv("MIMAMORI_REVIEW_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("MIMAMORI_REVIEW_CONNECT_SECONDS", "1")
    with pytest.raises(FatalError, match="is Kafka up"):
        _run()
