"""A worker and a shadow on the same messages of a real Apache Kafka, and `mimamori compare` on both."""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import schemas
from engine.errors import FatalError
from engine.policy import Policy
from engine.scores import Scores
from mimamori.cli import app as command
from mimamori.soak.canned_engine import CannedEngine
from schemas.events import DeadLetter, Label, Message, ReviewCase, ShadowLabel, Thresholds
from schemas.frozen import FrameFormat
from schemas.kinds import KIND_OF
from tests.fakes.apicurio import registry_at_hand
from tests.fakes.worker_app import Running, build_app, settings, wait_for
from worker.assembly import join_group, open_producer
from worker.errors import BrokerError
from worker.kafka.reader import Reader
from worker.kafka.sender import Sender
from worker.kafka.span import Asked, SpanReader
from worker.kafka.topics import apply_topics
from worker.registry.client import RegistryClient
from worker.registry.label_reading import LabelReader
from worker.registry.subjects import register_schema
from worker.settings import Settings
from worker.startup import require_topics

SENT = 240
POLICIES = {
    False: Policy(Thresholds(0.3, 0.7, "old"), quality_sample_share=0.1),
    True: Policy(Thresholds(0.5, 0.6, "new"), quality_sample_share=0.1),
}


class BrokenEngine(CannedEngine):
    """A model that can read nothing."""

    def read(self, texts: Sequence[str]) -> list[Scores]:
        raise MemoryError(len(texts))


class Platform:
    """Topics of their own with messages, and what reads them."""

    def __init__(self, bootstrap: str, folder: Path, registry: str) -> None:
        self._registry = registry
        self.prefix = f"{secrets.token_hex(4)}."
        self.config = {"bootstrap.servers": bootstrap}
        self.names = schemas.topic_names(self.prefix)
        self._bootstrap = bootstrap
        self._folder = folder
        self._started: list[Running] = []
        apply_topics(self.config, schemas.load_topics(self.prefix, replication_factor=1, partitions=2))
        self.send(range(SENT))

    def send(self, numbers: range) -> None:
        with Sender(self.config) as sender:
            for n in numbers:
                value = schemas.encode(Message(f"m{n}", f"a quiet evening {n}"))
                sender.send(self.names[Message], value, str(n).encode())

    def settings(self, **more: object) -> Settings:
        return settings(
            self._folder, bootstrap=self._bootstrap, topic_prefix=self.prefix, group=self.prefix, **more
        )

    def start(self, engine: CannedEngine | None = None, **more: object) -> Running:
        config = self.settings(**more)
        app = build_app(config, policy=POLICIES[config.shadow], engine=engine)
        running = Running(app, lambda listener: join_group(config, listener), open_producer(config))
        self._started.append(running)
        return running

    def close(self) -> None:
        """Stop what a test that failed has left running."""
        for running in self._started:
            if running.thread.is_alive():
                running.stop()

    def register(self, form: FrameFormat) -> dict[str, Any]:
        """Register the schema of labels; returns the setting that names the registry."""
        settings = self.settings(schema_registry_url=self._registry)
        register_schema(RegistryClient(settings), self.prefix, KIND_OF[Label], form, dry_run=False)
        return {"schema_registry_url": self._registry}

    def read(self, kind: type[Any]) -> list[Any]:
        labels = LabelReader.of(self.settings(schema_registry_url=self._registry))
        with SpanReader(self.config, Asked(self.names[kind])) as reader:
            values = [record.value or b"" for record in reader.records()]
        return [labels.read(value) if kind is Label else schemas.decode(kind, value) for value in values]

    def until(self, kind: type[Any], count: int) -> None:
        with Reader(self.config, [self.names[kind]], from_beginning=True) as reader:
            seen: list[object] = []

            def all_there() -> bool:
                seen.extend(reader.poll())
                return len(seen) >= count

            wait_for(all_there, 60, f"{count} on {self.names[kind]}")

    def compare(self, *more: str) -> dict[str, Any]:
        arguments = ["compare", "--bootstrap", self._bootstrap, "--json"]
        topics = ["--labels", self.names[Label], "--shadow", self.names[ShadowLabel]]
        done = CliRunner().invoke(command, [*arguments, *topics, *more])
        assert done.exit_code == 0, (done.output, done.exception)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with registry_at_hand() as url:
        yield url


@pytest.fixture
def platform(
    kafka_bootstrap: str, tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    monkeypatch.setenv("MIMAMORI_SCHEMA_REGISTRY_URL", registry)
    platform = Platform(kafka_bootstrap, tmp_path, registry)
    yield platform
    platform.close()


def test_a_shadow_beside_a_worker_and_what_compare_says_of_both(platform: Platform) -> None:
    """One that dies at its first batch takes nothing from the worker; the next one says all of it."""
    broken = platform.start(BrokenEngine(), shadow=True)
    worker = platform.start(label_format="avro", **platform.register("avro"))
    platform.until(Label, SENT)
    broken.thread.join(30)
    assert isinstance(broken.error, FatalError)
    shadow = platform.start(shadow=True)
    platform.until(ShadowLabel, SENT)
    for running in (worker, shadow):
        running.stop()
        assert running.error is None

    labels, shadows = platform.read(Label), platform.read(ShadowLabel)
    assert len(labels) == len({label.origin for label in labels}) == SENT
    assert len(shadows) == len({label.origin for label in shadows}) == SENT
    assert len(platform.read(ReviewCase)) == sum(
        label.verdict != "clear" or "quality_sample" in label.reasons for label in labels
    )
    assert platform.read(DeadLetter) == []

    verdicts = {label.origin: label.verdict for label in labels}
    expected = Counter((verdicts[one.origin], one.would_be) for one in shadows)
    found = platform.compare("--changes", "1000")
    order = ("clear", "uncertain", "at_risk")
    assert found["counts"]["table"] == [[expected[old, new] for new in order] for old in order]
    assert found["left_out"] == {}
    assert (found["old"]["thresholds"]["calibration"], found["new"]["thresholds"]["calibration"]) == (
        "old",
        "new",
    )
    places = {(one.origin.topic, one.origin.partition, one.origin.offset) for one in shadows}
    for change in found["counts"]["changes"]:
        topic, partition, offset = change["where"].split(":")
        assert (topic, int(partition), int(offset)) in places
        assert change["text"] is None


def test_compare_counts_what_it_cannot_use(platform: Platform) -> None:
    def label(offset: int, kind: type[Any], **other: Any) -> bytes:
        origin = schemas.Origin("m", 0, offset)
        verdict = {"would_be": other.get("verdict", "clear")} if kind is ShadowLabel else {}
        values = {
            "id": "x", "message_id": "m", "origin": origin, "task": "stress", "verdict": "clear", "risk": 0.1,
            "severity": None, "reasons": [], "thresholds": Thresholds(0.3, 0.7, "c"), "reading": "pooled",
            "bundle": "b", "windows": 1, "truncated": False, "cached": False,
            "screened_at": "2026-11-26T00:00:00Z", "scored_by": "s",
        } | other | verdict  # fmt: skip
        return schemas.encode(msgspec_convert(values, kind))

    live, shadow = platform.names[Label], platform.names[ShadowLabel]
    with Sender(platform.config) as sender:
        for offset in range(10):
            sender.send(live, label(offset, Label), b"k")
            sender.send(shadow, label(offset, ShadowLabel), b"k")
        sender.send(
            live, label(3, Label, verdict="at_risk", risk=0.9), b"k"
        )  # came again: the last one counts
        sender.send(live, label(4, Label, task="another"), b"k")
        sender.send(live, label(5, Label, bundle="rolled out meanwhile"), b"k")
        sender.send(shadow, label(77, ShadowLabel), b"k")
        sender.send(shadow, label(1, Label), b"k")  # a label on the wrong topic
        sender.send(live, None, b"k")
    found = platform.compare()
    assert found["counts"]["table"] == [[8, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert {why.split(":")[0]: count for why, count in found["left_out"].items()} == {
        f"no shadow label ({shadow})": 1,
        f"no label ({live})": 1,
        "of another task (another)": 1,
        "of another bundle, or under other thresholds": 1,
        "shadow labels without a label": 1,
    }


def msgspec_convert(values: dict[str, Any], kind: type[Any]) -> Any:
    import msgspec  # noqa: PLC0415 - used here alone

    return msgspec.convert(msgspec.to_builtins(values), kind)


def test_a_worker_needs_no_shadow_topic_and_a_shadow_names_it(kafka_bootstrap: str, tmp_path: Path) -> None:
    """An upgrade must not stop workers whose cluster has no such topic yet."""
    prefix = f"{secrets.token_hex(4)}."
    older = [
        t
        for t in schemas.load_topics(prefix, replication_factor=1, partitions=1)
        if t.event not in {"shadow-label", "case-event", "review-decision", "audit-record"}
    ]
    apply_topics({"bootstrap.servers": kafka_bootstrap}, older)
    both = {"bootstrap": kafka_bootstrap, "topic_prefix": prefix}
    assert {state.definition.event for state in require_topics(settings(tmp_path, **both))} == {
        "message",
        "label",
        "review-case",
        "dead-letter",
        None,
    }
    with pytest.raises(BrokerError, match=rf"{prefix}shadow-labels; run `mimamori topics apply`"):
        require_topics(settings(tmp_path, **both, shadow=True))
