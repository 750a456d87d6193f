"""A message that kills or hangs the process: it becomes a dead letter, all others get their labels, once.

`POISON=full` runs each kind of death by itself as well.
"""

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import schemas
from mimamori.soak import fleet
from mimamori.soak.launch import ZygoteLauncher
from schemas.events import DeadLetter, Label, Message
from tests.chaos.poisons import DEADLY, text_of
from worker.kafka.reader import Reader
from worker.kafka.sender import Sender
from worker.kafka.topics import apply_topics

PARTITIONS = 2
SENT = 240


class Run:
    """A platform with topics of its own, its workers, restarted whenever they end, and all their outcomes."""

    def __init__(self, stack: ExitStack, bootstrap: str, folder: Path, workers: int) -> None:
        self.prefix = f"{uuid.uuid4().hex[:8]}."
        self.settings: dict[str, Any] = {}
        self.kafka: dict[str, Any] = {}
        self.static = True  # each slot a transactional id and a membership of its own, as in a StatefulSet
        self._stack = stack
        self._folder = folder
        self._config = {"bootstrap.servers": bootstrap}
        self._names = schemas.topic_names(self.prefix)
        definitions = schemas.load_topics(self.prefix, replication_factor=1, partitions=PARTITIONS)
        apply_topics(self._config, definitions)
        self.labels: list[Label] = []
        self.letters: list[DeadLetter] = []
        read = [self._names[Label], self._names[DeadLetter]]
        self._reader = stack.enter_context(Reader(self._config, read, from_beginning=True))
        launcher = ZygoteLauncher("tests.chaos.poisons:run")
        self.fleet = fleet.Fleet(launcher, self._settings_of, workers, folder)

    def send(self, poisons: dict[int, str]) -> None:
        """SENT messages; those at the places of `poisons` are deadly."""
        with Sender(self._config) as sender:
            for n in range(SENT):
                text = text_of(poisons[n]) if n in poisons else f"a quiet evening {n}"
                value = json.dumps({"id": f"m{n}", "text": text}).encode()
                sender.send(self._names[Message], value, str(n % 7).encode())

    @property
    def deaths(self) -> int:
        return sum(self.fleet.exits.values())

    def finish(self, most_deaths: int, timeout_s: float = 90) -> None:
        """Restart workers until each message has an outcome; then end them, and read what is left."""
        self._stack.enter_context(self.fleet)
        deadline = time.monotonic() + timeout_s
        while len(self.labels) + len(self.letters) < SENT:
            self.fleet.tend()
            self._read()
            told = f"{dict(self.fleet.exits)}, {len(self.labels)} labels, {len(self.letters)} dead letters"
            assert self.deaths <= most_deaths, told
            assert time.monotonic() < deadline, told
        self.fleet.drain()
        while self._read():
            pass

    def logs(self) -> list[str]:
        """One of each slot."""
        return [file.read_text() for file in self._folder.glob("worker-*.log")]

    def _read(self) -> int:
        records = self._reader.poll()
        for record in records:
            if record.topic == self._names[Label]:
                self.labels.append(schemas.decode(Label, record.value or b""))
            else:
                self.letters.append(schemas.decode(DeadLetter, record.value or b""))
        return len(records)

    def _settings_of(self, slot: str) -> dict[str, Any]:
        name = f"{self.prefix}{slot}" if self.static else ""
        kafka: dict[str, Any] = {"session.timeout.ms": 1200, "heartbeat.interval.ms": 200}
        kafka |= {"transaction.timeout.ms": 3000, "message.timeout.ms": 3000}
        kafka |= {"group.instance.id": name} if self.static else {}
        return {
            "bootstrap": self._config["bootstrap.servers"],
            "group": self.prefix,
            "topic_prefix": self.prefix,
            "transactional_id": name,
            "kafka": kafka,
            "health_port": 0,
            "max_records": 40,
            "watchdog_floor_s": 1.0,
            "dead_letter_original": True,
        }


Start = Callable[[int], Run]


@pytest.fixture
def start(kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(fleet, "CRASH_PAUSE_S", 0.0)
    with ExitStack() as stack:
        yield lambda workers: Run(stack, kafka_bootstrap, tmp_path, workers)


def assert_exactly_once(run: Run, poisons: dict[int, str]) -> None:
    """Each message has one outcome, in its partition's order; dead letters are the deadly, and they alone."""
    origins = Counter((label.origin.partition, label.origin.offset) for label in run.labels)
    assert [origin for origin, count in origins.items() if count > 1] == []
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
    assert "evening" not in "".join(run.logs())


def test_a_crash_and_a_hang_end_in_dead_letters_and_in_no_other(start: Start) -> None:
    """Close together: the second is met where messages are read alone already, and costs two deaths."""
    run, poisons = start(1), {125: "abort", 132: "sleep"}
    run.send(poisons)
    run.finish(most_deaths=6)
    assert_exactly_once(run, poisons)
    assert run.fleet.exits == {"-6": 4, "70": 2}
    assert "model_never_answered" in run.logs()[0]


def test_whoever_takes_over_goes_on_counting(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, under new names at every start, and slow to come back: the other gets the partition."""
    monkeypatch.setattr(fleet, "CRASH_PAUSE_S", 1.5)
    run, poisons = start(2), {125: "eat"}
    run.static = False
    run.send(poisons)
    run.finish(most_deaths=5)
    assert_exactly_once(run, poisons)
    assert run.fleet.exits["-9"] == 4
    assert all("died_in_hand" in log for log in run.logs())


@pytest.mark.skipif(os.environ.get("POISON") != "full", reason="POISON=full: a minute more")
@pytest.mark.parametrize("poison", DEADLY)
def test_one_deadly_message_costs_four_deaths_and_no_other_message(poison: str, start: Start) -> None:
    run, poisons = start(1), {125: poison}
    run.send(poisons)
    run.finish(most_deaths=4)
    assert_exactly_once(run, poisons)
    assert run.deaths == 4
