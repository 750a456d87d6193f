"""`mimamori replay --from-topic` on a real Apache Kafka, with people's decisions of all kinds.

Messages and labels are plain JSON, framed JSON and framed Avro by turns.
"""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

import schemas
from engine.bundle import Bundle
from engine.errors import SettingsError
from engine.load import load_engine
from mimamori.cli import app
from schemas.events import Label, Message, Origin, ReviewCase, ReviewDecision, Thresholds
from schemas.vocabulary import CaseKind, Finding, Verdict
from tests.fakes.forms import Encode, every_form
from tests.fakes.tiny_bundle import write_tiny_bundle
from worker.kafka.sender import Sender
from worker.kafka.span import Asked, SpanReader
from worker.kafka.topics import apply_topics

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SENT = 60
TEXTS = [f"somebody {n} {'so ' * (n % 5)}" for n in range(SENT)]
# By number modulo 6: what OLD said, and what became of it.
SAMPLE, CLEAR, ESCALATED = 0, {1, 2}, {3, 4, 5}


class Stage:
    """One partition of messages 0 to 59, their labels and cases; decisions are sent by each test."""

    def __init__(self, bootstrap: str, encode: Encode) -> None:
        self.bootstrap = bootstrap
        self._encode = encode
        self.prefix = f"{secrets.token_hex(4)}."
        self.config: dict[str, Any] = {"bootstrap.servers": bootstrap}
        self.names = schemas.topic_names(self.prefix)
        apply_topics(self.config, schemas.load_topics(self.prefix, replication_factor=1, partitions=1))
        with Sender(self.config) as sender:
            for n, text in enumerate(TEXTS):
                sender.send(self.names[Message], encode(Message(f"m{n}", text)), b"k")
            sender.send(self.names[Message], None, b"k")
            sender.send(self.names[Message], b"no JSON, and nobody's words", b"k")
            for n in range(SENT):
                self._outcome(sender, n)

    def origin(self, n: int) -> Origin:
        return Origin(self.names[Message], 0, n)

    def case(self, n: int) -> str:
        return schemas.case_id(self.origin(n))

    def _outcome(self, sender: Sender, n: int) -> None:
        kind: CaseKind | None = (
            "quality_sample" if n % 6 == SAMPLE else "escalation" if n % 6 in ESCALATED else None
        )
        verdict: Verdict = "at_risk" if kind == "escalation" else "clear"
        label = Label(
            schemas.label_id(self.origin(n)), f"m{n}", self.origin(n), "tiny", verdict, 0.5, None,
            ["quality_sample"] if kind == "quality_sample" else [], Thresholds(0.3, 0.7, "old"), "pooled",
            "old", 1, False, False, NOW, "s",
        )  # fmt: skip
        sender.send(self.names[Label], self._encode(label), b"k")
        if kind is not None:
            case = ReviewCase(
                self.case(n), label.id, f"m{n}", self.origin(n), "tiny", kind, verdict, 0.5, None, 1.0, [],
                "old", None, None, NOW,
            )  # fmt: skip
            sender.send(self.names[ReviewCase], schemas.encode(case), b"k")

    def decide(self, *decisions: tuple[str, Finding, str] | bytes | None) -> None:
        """Send (case id, finding, id) each, or bytes as they are."""
        with Sender(self.config) as sender:
            for one in decisions:
                if one is None or isinstance(one, bytes):
                    sender.send(self.names[ReviewDecision], one, b"k")
                    continue
                case, finding, name = one
                task = "another" if name == "other-task" else "tiny"
                made = ReviewDecision(name, case, "m", task, "r", finding, None, None, NOW)
                sender.send(self.names[ReviewDecision], schemas.encode(made), case.encode())

    def arguments(self, bundle: Path) -> list[str]:
        named = ["--from-topic", self.names[Message], "--bundle", str(bundle)]
        return [*named, "--bootstrap", self.bootstrap]

    def replay(self, bundle: Path, *more: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["replay", *self.arguments(bundle), "--json", *more])
        assert done.exit_code == 0, (done.output, done.exception)
        assert "nobody's words" not in done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "new").path


@pytest.fixture
def cleared(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Which messages NEW clears, asked without the code under test; the threshold clears half of them."""
    risks = [scores.risk for scores in load_engine(Bundle.load(bundle), device="cpu").read(TEXTS)]
    middle = float(np.median(risks))
    monkeypatch.setenv("MIMAMORI_DEVICE", "cpu")
    monkeypatch.setenv("MIMAMORI_LOWER", str(middle))
    monkeypatch.setenv("MIMAMORI_UPPER", "1")
    return [risk < middle for risk in risks]


@pytest.fixture
def stage(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with every_form(monkeypatch) as encode:
        made = Stage(kafka_bootstrap, encode)
        monkeypatch.setenv("MIMAMORI_TOPIC_PREFIX", made.prefix)
        yield made


def test_what_people_found_and_dismissed_is_set_against_what_new_says(
    stage: Stage, bundle: Path, cleared: list[bool]
) -> None:
    found_at_risk = [n for n in range(SENT) if n % 6 in {3, 4}]
    dismissed = [n for n in range(SENT) if n % 6 == 5]
    samples = [n for n in range(SENT) if n % 6 == SAMPLE]
    at_risk_samples = samples[:2]
    stage.decide(
        *((stage.case(n), "at_risk", f"d{n}") for n in [*found_at_risk, *at_risk_samples]),
        *((stage.case(n), "not_at_risk", f"d{n}") for n in [*dismissed, *samples[2:-1]]),
        (stage.case(samples[-1]), "unsure", "d-unsure"),
    )
    found = stage.replay(bundle)
    assert found["messages"] == SENT
    interval = found["escalated"].pop("missed_interval")
    missed = found["escalated"]["missed"]
    assert interval["low"] <= missed / 20 <= interval["high"]
    assert found["escalated"].pop("raised_interval") is not None
    assert found["escalated"] == {
        "messages": 30,
        "decided": 30,
        "at_risk": 20,
        "missed": sum(cleared[n] for n in found_at_risk),
        "dismissed": 10,
        "raised": sum(not cleared[n] for n in dismissed),
        "unsure": 0,
    }
    assert {found["sampled"].pop(name) is None for name in ("missed_interval", "raised_interval")} == {False}
    assert found["sampled"] == {
        "messages": 30,
        "decided": 10,
        "at_risk": 2,
        "missed": sum(cleared[n] for n in at_risk_samples),
        "dismissed": 7,
        "raised": sum(not cleared[n] for n in samples[2:-1]),
        "unsure": 1,
    }
    assert found["load"] == {"messages": SENT, "old": 30, "new": SENT - sum(cleared)}
    assert found["quality_sample_share"] == pytest.approx(10 / 30)
    assert found["old_miss_rate"]["value"] == pytest.approx((2 * 30 / 9) / (20 + 2 * 30 / 9))
    missed += found["sampled"]["missed"] * 30 / 9
    assert found["new_miss_rate"]["value"] == pytest.approx(missed / (20 + 2 * 30 / 9))
    assert {why.split(" ")[0]: count for why, count in found["left_out"].items()} == {
        "null_value": 1,
        "invalid_json": 1,
    }
    assert any("random sample" in line for line in found["cannot_tell"])


def test_of_several_decisions_the_last_counts_and_what_is_none_is_counted(
    stage: Stage, bundle: Path, cleared: list[bool]
) -> None:
    beyond = schemas.case_id(Origin(stage.names[Message], 0, 10_000))
    stage.decide(
        (stage.case(3), "not_at_risk", "d3"),
        (stage.case(3), "not_at_risk", "d3"),  # delivered again
        (stage.case(3), "at_risk", "d3-corrected"),
        (stage.case(4), "at_risk", "other-task"),
        (stage.case(1), "at_risk", "d1"),  # cleared, and no case was opened
        ("no case of ours", "at_risk", "d-foreign"),
        (beyond, "at_risk", "d-beyond"),
        None,
        b"{",
    )
    found = stage.replay(bundle)
    assert (found["escalated"]["decided"], found["escalated"]["at_risk"]) == (1, 1)
    assert found["escalated"]["missed"] == cleared[3]
    left_out = {why: count for why, count in found["left_out"].items() if "decision" in why}
    assert left_out == {
        "decisions that came twice": 1,
        "decisions that a later one corrects": 1,
        "decisions of another task (another)": 1,
        "decisions whose case is gone: why it was opened is not known": 1,
        "decisions on a case that no worker opened": 1,
        "decisions on messages outside of the range": 1,
        f"no review decision ({stage.names[ReviewDecision]})": 2,
    }
    assert found["old_miss_rate"] is None
    assert any("No quality sample" in line for line in found["cannot_tell"])


def test_a_range_is_read_alone_and_nothing_is_written_or_committed(
    stage: Stage, bundle: Path, cleared: list[bool]
) -> None:
    def ends() -> dict[str, list[int]]:
        found = {}
        for name in stage.names.values():
            with SpanReader(stage.config, Asked(name)) as reader:
                found[name] = [span.end for span in reader.spans]
        return found

    stage.decide(*((stage.case(n), "at_risk", f"d{n}") for n in (9, 10, 21, 22)))
    before = ends()
    found = stage.replay(bundle, "--from-offset", "9", "--to-offset", "22")
    assert found["spans"] == [[0, 9, 22]]
    assert found["messages"] == 13
    assert found["load"]["new"] == sum(not one for one in cleared[9:22])
    assert found["escalated"]["at_risk"] == 3
    assert found["left_out"] == {"decisions on messages outside of the range": 1}
    assert ends() == before
    groups = AdminClient(stage.config).list_consumer_groups().result().valid
    assert "mimamori-reader" not in {group.group_id for group in groups}


@pytest.mark.usefixtures("cleared")
def test_compare_reads_framed_messages_of_a_topic_as_workers_do(stage: Stage, bundle: Path) -> None:
    named = ["--from-topic", stage.names[Message], "--bootstrap", stage.bootstrap, "--json"]
    done = CliRunner().invoke(app, ["compare", str(bundle), str(bundle), *named])
    assert done.exit_code == 0, (done.output, done.exception)
    assert sum(map(sum, json.loads(done.stdout)["counts"]["table"])) == SENT


def test_without_the_registry_framed_messages_are_counted_and_the_setting_is_named(
    stage: Stage, bundle: Path, cleared: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And labels in Avro, without which its figures would be wrong, stop it."""
    monkeypatch.delenv("MIMAMORI_SCHEMA_REGISTRY_URL")
    done = CliRunner().invoke(app, ["replay", *stage.arguments(bundle)])
    assert isinstance(done.exception, SettingsError)
    assert "labels in Avro, framed for a schema registry: set MIMAMORI_SCHEMA_REGISTRY_URL" in str(
        done.exception
    )
    found = stage.replay(bundle, "--labels", stage.names[ReviewDecision])  # none at all, to come to its end
    assert found["messages"] == SENT / 3
    assert found["load"]["new"] == sum(not one for one in cleared[::3])
    said = "framed for a schema registry, and not read: set MIMAMORI_SCHEMA_REGISTRY_URL"
    assert found["left_out"][said] == SENT * 2 / 3


def test_a_file_and_a_topic_are_not_replayed_at_once(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_bytes(msgspec.json.encode({"text": "hello"}))
    for arguments, said in (
        ([str(file), "--from-topic", "m"], "give one of them"),
        ([], "say what to replay"),
        (["--from-topic", "m"], "--bundle"),
        (["--from-topic", "m", "--bundle", str(bundle), "--rate", "5"], "sends nothing"),
    ):
        done = CliRunner().invoke(app, ["replay", *arguments])
        assert done.exit_code
        assert said in str(done.exception)
