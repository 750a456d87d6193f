"""A message that kills or hangs the process: it becomes a dead letter, all others get their labels, once."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import schemas
from schemas.events import DeadLetter, Label, Message
from tests.chaos.poisons import text_of
from worker.kafka.reader import Reader
from worker.kafka.sender import Sender
from worker.kafka.topics import apply_topics
from worker.soak.fleet import Fleet
from worker.soak.launch import ZygoteLauncher

PARTITIONS = 2
SENT = 240


class Run:
    """A platform with topics of its own, its workers, restarted whenever they end, and all their outcomes."""

    def __init__(self, bootstrap: str, folder: Path, workers: int, **settings: Any) -> None:
        self.prefix = f"{uuid.uuid4().hex[:8]}."
        self.folder = folder
        self._config = {"bootstrap.servers": bootstrap}
        self._settings = settings
        self._names = schemas.topic_names(self.prefix)
        apply_topics(
            self._config, schemas.load_topics(self.prefix, replication_factor=1, partitions=PARTITIONS)
        )
        self.labels: list[Label] = []
        self.letters: list[DeadLetter] = []
        self._stack = ExitStack()
        self._reader = self._stack.enter_context(
            Reader(self._config, [self._names[Label], self._names[DeadLetter]], from_beginning=True)
        )
        launcher = ZygoteLauncher("tests.chaos.poisons:run")
        self.fleet = Fleet(launcher, self._settings_of, workers, folder)

    def send(self, poisons: dict[int, str]) -> None:
        """SENT messages; those at the places of `poisons` are deadly."""
        with Sender(self._config) as sender:
            for n in range(SENT):
                text = text_of(poisons[n]) if n in poisons else f"a quiet evening {n}"
                value = json.dumps({"id": f"m{n}", "text": text}).encode()
                sender.send(self._names[Message], value, str(n % 7).encode())

    def start(self) -> None:
        self._stack.enter_context(self.fleet)

    def finish(self, most_deaths: int, timeout_s: float = 60) -> None:
        """Restart workers until each message has an outcome; then end them in order, and read what is left."""
        deadline = time.monotonic() + timeout_s
        while len(self.labels) + len(self.letters) < SENT:
            self.fleet.tend()
            self._read()
            deaths = sum(self.fleet.exits.values())
            told = f"{deaths} deaths, {len(self.labels)} labels, {len(self.letters)} dead letters"
            assert deaths <= most_deaths, f"{told}: {dict(self.fleet.exits)}"
            assert time.monotonic() < deadline, told
        self.fleet.drain()
        while self._read():
            pass

    def log(self) -> str:
        return "".join(file.read_text() for file in self.folder.glob("worker-*.log"))

    def end(self) -> None:
        self._stack.close()

    def _read(self) -> int:
        records = self._reader.poll()
        for record in records:
            if record.topic == self._names[Label]:
                self.labels.append(schemas.decode(Label, record.value or b""))
            else:
                self.letters.append(schemas.decode(DeadLetter, record.value or b""))
        return len(records)

    def _settings_of(self, slot: str) -> dict[str, Any]:
        settings = {
            "bootstrap": self._config["bootstrap.servers"],
            "group": self.prefix,
            "topic_prefix": self.prefix,
            "transactional_id": f"{self.prefix}{slot}",
            "kafka": {
                "session.timeout.ms": 1200,
                "heartbeat.interval.ms": 200,
                "group.instance.id": f"{self.prefix}{slot}",
            },
            "health_port": 0,
            "max_records": 40,
            "watchdog_floor_s": 1.5,
            "dead_letter_original": True,
        }
        return settings | self._settings


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    return tmp_path


def assert_exactly_once(run: Run, poisons: dict[int, str]) -> None:
    """Each message has one outcome, in its partition's order; the deadly, and they alone, are dead letters."""
    assert sorted(label.message_id for label in run.labels) == sorted(
        f"m{n}" for n in range(SENT) if n not in poisons
    )
    originals = [json.loads(letter.original or b"{}") for letter in run.letters]
    assert sorted(original["id"] for original in originals) == sorted(f"m{n}" for n in poisons)
    offsets: dict[int, list[int]] = {}
    for label in run.labels:
        offsets.setdefault(label.origin.partition, []).append(label.origin.offset)
    assert all(found == sorted(found) for found in offsets.values())
    for letter in run.letters:
        assert letter.reason == "unscreenable"
        assert "alone" in letter.detail
    assert "evening" not in run.log()


@pytest.mark.parametrize("poison", ["abort", "eat", "sleep", "stall"])
def test_one_deadly_message_costs_four_deaths_and_no_other_message(
    poison: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    run = Run(kafka_bootstrap, tmp_path, workers=1)
    poisons = {100: poison}
    run.send(poisons)
    try:
        run.start()
        run.finish(most_deaths=4)
    finally:
        run.end()
    assert_exactly_once(run, poisons)
