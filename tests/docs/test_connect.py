"""The three examples of docs/examples/connect, with one worker on a real Kafka. `make test-docs` runs them.

Each program sends messages of the same conversations, and reads every outcome and every decision.
"""

import json
import os
import signal
import subprocess
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import msgspec
import pytest

from mimamori import process
from mimamori.sandbox import Sandbox
from schemas import load_topics
from schemas.events import ReviewDecision
from tests.docs.languages import LANGUAGES
from tests.fakes.worker_app import wait_for
from worker.kafka.topics import apply_topics
from worker.registry.framing import framed

PARTITIONS = 3
CONVERSATIONS = [f"conversation-{number}" for number in range(12)]
PER_CONVERSATION = 4
WORKER = ("tests.fakes.canned_worker",)


@dataclass
class Reader:
    """A program that reads; `lines` are what it has printed so far."""

    running: subprocess.Popen[bytes]
    group: str
    printed: Path
    errors: Path

    def lines(self) -> list[str]:
        return self.printed.read_text("utf-8").splitlines()

    def said(self) -> bytes:
        return self.printed.read_bytes() + self.errors.read_bytes()


@dataclass
class Stage:
    """A prefix of its own with topics and a worker, the programs by language, and what they have sent."""

    bootstrap: str
    prefix: str
    folder: Path
    programs: dict[str, list[str]]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self, group: str = "") -> dict[str, str]:
        given = {"KAFKA_BOOTSTRAP": self.bootstrap, "TOPIC_PREFIX": self.prefix, "KAFKA_GROUP": group}
        return os.environ | given

    def send(self, language: str, messages: list[dict[str, str]]) -> None:
        """As a platform would: one message a line."""
        lines = "".join(json.dumps(message, ensure_ascii=False) + "\n" for message in messages)
        done = subprocess.run(
            [*self.programs[language], "send"],
            input=lines.encode(),
            env=self.environment(),
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()

    def read(self, language: str, again: str = "") -> Reader:
        group = f"{self.prefix}{language}{again}"
        printed, errors = self.folder / f"{language}{again}.out", self.folder / f"{language}{again}.err"
        with printed.open("wb") as out, errors.open("wb") as err:
            command = [*self.programs[language], "read"]
            running = subprocess.Popen(command, env=self.environment(group), stdout=out, stderr=err)
        self.started.append(running)
        return Reader(running, group, printed, errors)

    def produce(self, topic: str, key: str, value: bytes, *, taken_back: bool = False) -> None:
        settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap}
        if taken_back:
            settings["transactional.id"] = f"{self.prefix}taken-back"
        producer = ck.Producer(settings)
        if taken_back:
            producer.init_transactions(30)
            producer.begin_transaction()
        producer.produce(self.prefix + topic, value, key)
        assert producer.flush(30) == 0
        if taken_back:
            producer.abort_transaction(30)


@pytest.fixture(scope="module")
def stage(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("connect")
    prefix = f"{uuid.uuid4().hex[:8]}."
    topics = load_topics(prefix, replication_factor=1, partitions=PARTITIONS)
    apply_topics({"bootstrap.servers": sandbox.bootstrap}, topics)
    programs = {}
    for language, prepare in LANGUAGES.items():
        (folder / language).mkdir()
        programs[language] = prepare(folder / language)
    stage = Stage(sandbox.bootstrap, prefix, folder, programs)
    settings = {
        "bootstrap": sandbox.bootstrap,
        "topic_prefix": prefix,
        "group": prefix,
        "transactional_id": prefix,
        "bundle": folder,
        "health_port": 0,
    }
    log = folder / "worker.log"
    stage.started.append(process.start(WORKER, settings, log, beside={"SECONDS_PER_MESSAGE": "0"}))
    yield stage
    for each in stage.started:
        each.kill()
        each.wait()


def decision(number: int) -> bytes:
    """A decision with a field of a later version."""
    made = ReviewDecision(
        id=f"decision:{number}",
        case_id="case:x",
        message_id="python-conversation-0-0",
        task="stress",
        reviewer="amara",
        finding="at_risk" if number else "not_at_risk",
        severity="high" if number else None,
        note=None,
        decided_at=datetime.now(UTC),
    )
    return msgspec.json.encode(msgspec.to_builtins(made) | {"of_a_later_version": {"a": [1]}})


def never_was(example: dict[str, Any]) -> bytes:
    return msgspec.json.encode(example | {"id": "label:taken-back", "message_id": "taken-back"})


def test_each_language_sends_and_reads_every_outcome_once(stage: Stage) -> None:
    sent: dict[str, list[str]] = defaultdict(list)
    for language in LANGUAGES:
        messages = []
        for number in range(PER_CONVERSATION):
            for conversation in CONVERSATIONS:
                name = f"{language}-{conversation}-{number}"
                sent[conversation].append(name)
                text = f"message {number} of {conversation}, 見守り"
                messages.append({"id": name, "text": text, "conversation_id": conversation})
        stage.send(language, [*messages, {"id": f"{language}-no-text"}])

    examples = json.loads((Path(__file__).parents[2] / "schemas/examples/label.json").read_text("utf-8"))
    for conversation in CONVERSATIONS:  # so that it stands in each partition
        stage.produce("labels", conversation, never_was(examples[0]["payload"]), taken_back=True)
    for number in (0, 0, 1):  # the same twice, and one after it that says that both were read
        stage.produce("review-decisions", "case:x", decision(number))

    readers = {language: stage.read(language) for language in LANGUAGES}
    expected = sum(map(len, sent.values())) + len(LANGUAGES) + 2
    for language, reader in readers.items():
        await_lines(reader, lambda lines: len(lines) >= expected, language)
    for language, reader in readers.items():
        reader.running.send_signal(signal.SIGTERM)
        code = reader.running.wait(60)
        # Java ends by the signal, after its hook; the others go on to their last line.
        assert code == (128 + signal.SIGTERM if language == "java" else 0), reader.errors.read_text()
        check(language, reader.lines(), sent)
        assert committed(stage, reader.group) == ends(stage), language


def test_each_language_stops_at_a_label_that_it_cannot_read(stage: Stage) -> None:
    """One behind a schema registry's frame: passed over, it would be a message that nobody hears of."""
    example = json.loads((Path(__file__).parents[2] / "schemas/examples/label.json").read_text("utf-8"))[0]
    stage.produce("labels", "framed", framed(7, msgspec.json.encode(example["payload"])))
    labels = f"{stage.prefix}labels"
    config = {"bootstrap.servers": stage.bootstrap, "group.id": "ends"}
    reader = ck.Consumer(config)
    ends = {
        each: reader.get_watermark_offsets(ck.TopicPartition(labels, each), 30)[1]
        for each in range(PARTITIONS)
    }
    reader.close()
    for language in LANGUAGES:
        program = stage.read(language, "-framed")
        wait_for(partial(has_stopped, program), 90, f"{language} to stop")
        assert program.running.poll() not in {0, 128 + signal.SIGTERM}, language
        assert f"label {example['payload']['message_id']} ".encode() not in program.said(), language
        reader = ck.Consumer(config | {"group.id": program.group})
        places = [ck.TopicPartition(labels, each) for each in ends]
        behind = [place for place in reader.committed(places, 30) if place.offset < ends[place.partition]]
        reader.close()
        assert behind, f"{language} has read everything"


def has_stopped(program: Reader) -> bool:
    """It has ended; or, as kafkajs does, it says why and tries the same event again."""
    return program.running.poll() is not None or b"eachMessage" in program.said()


def await_lines(reader: Reader, enough: Callable[[list[str]], bool], who: str) -> None:
    def is_so() -> bool:
        assert reader.running.poll() is None, f"{who} ended: {reader.errors.read_text()}"
        return enough(reader.lines())

    try:
        wait_for(is_so, 90, f"{who} to read everything")
    except AssertionError as error:
        said = f"{len(reader.lines())} lines; {reader.errors.read_text()}"
        raise AssertionError(f"{error}: {said}") from None


def check(who: str, lines: list[str], sent: dict[str, list[str]]) -> None:
    words = [line.split() for line in lines]
    assert len(lines) == len(set(lines)), f"{who} acted twice on one event"
    assert [line for line in lines if line.startswith("decision")] == [
        "decision python-conversation-0-0 not_at_risk -",
        "decision python-conversation-0-0 at_risk high",
    ], who
    labelled = [line[1] for line in words if line[0] == "label"]
    assert "taken-back" not in labelled, who
    for names in sent.values():
        # Whichever of the three programs sent them: one key, one partition, one order.
        assert [name for name in labelled if name in names] == names, who
    assert len([line for line in words if line[0] == "dead-letter"]) == len(LANGUAGES), who


def ends(stage: Stage) -> list[int]:
    """The end of each partition of the decisions: no transaction writes markers there."""
    reader = ck.Consumer({"bootstrap.servers": stage.bootstrap, "group.id": "ends"})
    topic = f"{stage.prefix}review-decisions"
    found = [reader.get_watermark_offsets(ck.TopicPartition(topic, each), 30) for each in range(PARTITIONS)]
    reader.close()
    return [end for _, end in found if end]


def committed(stage: Stage, group: str) -> list[int]:
    reader = ck.Consumer({"bootstrap.servers": stage.bootstrap, "group.id": group})
    topic = f"{stage.prefix}review-decisions"
    found = reader.committed([ck.TopicPartition(topic, each) for each in range(PARTITIONS)], 30)
    reader.close()
    return [each.offset for each in found if each.offset > 0]
