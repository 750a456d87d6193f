"""What people wrote is gone from the disks of broker and desk in the stated time, and when somebody asks.

A real Apache Kafka with small intervals in place of hours, and a real desk. The tests read the files of both.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from engine.errors import TaskError
from engine.task import load_task
from export.decided import examples_of_decisions
from mimamori.cli.traffic import read_decisions
from mimamori.process import as_environment, outside
from mimamori.sandbox import Sandbox
from review.retention.cipher import Key
from schemas.codec import encode
from schemas.events import Message, ReviewCase
from tests.integration.test_review_app import Cluster, DeskProcess, a_case, until

TYPED = "she has told her neighbour about the kettle, and means it"
MARKER = "the kettle is the only one who hears me in the evening"
# A second in place of an hour: the broker's lag, the time after a decision, the changelog's.
SECOND = "0.0003"
# Small indexes, since the tests read every file: 10 MB of holes each would keep a core busy.
SMALL = {"file.delete.delay.ms": "100", "segment.index.bytes": "65536"}
QUICK = SMALL | {"cleanup.policy": "compact,delete", "max.compaction.lag.ms": "1000"}


def alter(admin: AdminClient, kind: ResourceType, name: str, settings: dict[str, str]) -> None:
    changes = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in settings.items()
    ]
    answers = admin.incremental_alter_configs([ConfigResource(kind, name, incremental_configs=changes)])
    for answer in answers.values():
        answer.result(10)


class Disk:
    """The files under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def holding(self, words: bytes, only: str = "*") -> set[str]:
        """The folders of this one, by their first names, that hold a file with these bytes in it."""
        found = set()
        for place, _, names in os.walk(self.folder):  # which passes over what is deleted meanwhile
            for file in (Path(place) / name for name in names):
                first = file.relative_to(self.folder).parts[0]
                try:
                    # Indexes of a log are mapped into memory, and mostly holes: they are read like others.
                    if fnmatch(first, only) and words in file.read_bytes():
                        found.add(first)
                except OSError:  # it was deleted meanwhile
                    continue
        return found


class Quick(Cluster):
    """Topics whose words go within seconds, and the broker's disk."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.bootstrap)
        assert sandbox._kafka is not None
        self.disk = Disk(sandbox.folder / "kafka" / "log")
        self.messages = f"{self.prefix}messages"
        for made in self._admin.create_topics([NewTopic(self.messages, 2, 1)]).values():
            made.result()
        alter(self._admin, ResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})
        alter(self._admin, ResourceType.TOPIC, self.topics[0], QUICK)

    def quicken_changelog(self) -> str:
        name = f"{self.prefix}review-cases-changelog"
        alter(self._admin, ResourceType.TOPIC, name, SMALL)
        return name

    def files(self) -> str:
        """The segments of cases and changelog, with their sizes: what Kafka has not cleaned yet."""
        found = sorted(self.disk.folder.glob(f"{self.topics[0]}-*/*.log*"))
        return "\n".join(f"{each.relative_to(self.disk.folder)} {each.stat().st_size} B" for each in found)

    def send_in_transactions(self, case: ReviewCase) -> None:
        """As a worker does: the case in one that is aborted first, and in one that is committed."""
        self.send_aborted(case)
        self.send(case)

    def close(self) -> None:
        alter(self._admin, ResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "15000"})
        super().close()


@pytest.fixture
def quick(sandbox: Sandbox) -> Iterator[Quick]:
    if sandbox._kafka is None:
        pytest.skip("the files of a broker that somebody else started are not ours to read")
    made = Quick(sandbox)
    yield made
    made.close()


@pytest.fixture
def desk(quick: Quick, tmp_path: Path) -> Iterator[DeskProcess]:
    settings = {"RETENTION_AFTER_DECISION_HOURS": SECOND, "CHANGELOG_COMPACTION_HOURS": SECOND}
    process = DeskProcess(quick.bootstrap, quick.prefix, tmp_path / "table", **settings).start().ready()
    yield process
    process.stop(signal.SIGKILL)


def test_the_words_of_a_decided_case_leave_every_disk(
    quick: Quick, desk: DeskProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, case, bystander = MARKER.encode(), a_case(1, text=MARKER), a_case(2, text="an open case")
    platform = Producer({"bootstrap.servers": quick.bootstrap})
    platform.produce(quick.messages, encode(Message("m-1", MARKER)), key="talk-1")
    assert platform.flush(10) == 0
    quick.send(bystander)
    quick.send_in_transactions(case)
    until(lambda: len(desk.queue()) == 2, "both cases")
    changelog = quick.quicken_changelog()

    # Before: in clear in Kafka's topics of messages and cases, and nowhere else; sealed at the desk.
    topics = {name.rpartition("-")[0] for name in quick.disk.holding(words)}
    assert topics == {quick.messages, quick.topics[0]}
    table = Disk(tmp_path / "table")
    assert table.holding(words) == set()
    entries = dict(quick.read(changelog))
    sealed = (entries[f"case:{case.id}".encode()] or b"")[60:124]
    assert len(sealed) == 64
    assert table.holding(sealed)
    assert quick.disk.holding(sealed, f"{changelog}-*")

    # What reviewers type is nowhere in clear: not on the events, the audit log, the decisions.
    claim = desk.step(case, "claim")[1]
    assert desk.step(case, "release", lease=claim["lease"], reason=f"no, {TYPED}"[:120])[0] == 200
    assert desk.decide(case, note=TYPED)[0] == 201
    until(quick.decisions, "the decision")
    assert quick.disk.holding(TYPED.encode()) == set()
    assert Disk(tmp_path).holding(TYPED.encode()) == set()
    desk.stop(signal.SIGKILL)  # with the null value owed, on its way or come back
    desk.start().ready()

    def said() -> str:
        return f"{desk.log()}\n{quick.files()}"

    # Two minutes: what the desk has told the broker, and does not hear of, it tells again after one.
    of_cases, two = f"{quick.topics[0]}-*", 120.0
    until(lambda: not quick.disk.holding(words, of_cases), "the broker to forget the case", said, two)
    until(lambda: not quick.disk.holding(sealed, f"{changelog}-*"), "the changelog to forget it", said, two)
    until(lambda: not table.holding(sealed), "the desk's disk to forget it")
    # After: the messages topic alone, which is the platform's, and goes by its own retention.
    assert {name.rpartition("-")[0] for name in quick.disk.holding(words)} == {quick.messages}
    assert table.holding(words) == set()
    assert desk.queue() == [bystander.id]
    assert desk.case(case)["error"]
    # Who would learn from the decision now is told why there is nothing to learn from, and what to do.
    monkeypatch.setenv("MIMAMORI_BOOTSTRAP", quick.bootstrap)
    cases, decisions = read_decisions((f"topic:{quick.topics[0]}", f"topic:{quick.prefix}review-decisions"))
    assert ([each.id for each in cases], len(decisions)) == ([bystander.id], 1)
    with pytest.raises(TaskError, match="1 decision has no case, and so no text any more"):
        examples_of_decisions(cases, decisions, load_task(case.task))
    assert MARKER not in desk.log()

    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "table").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {
        path.stat().st_mode & 0o777 for path in [tmp_path / "table", *(tmp_path / "table").glob("*/")]
    } == {0o700}


def run(quick: Quick, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, where the desk's settings are."""
    settings = {"bootstrap": quick.bootstrap, "topic_prefix": quick.prefix, "folder": str(folder)}
    command = [sys.executable, "-m", "mimamori", *arguments]
    environment = outside() | as_environment(settings, "MIMAMORI_REVIEW_") | {"COLUMNS": "160"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_an_erasure_takes_an_authors_words_and_says_what_is_left(
    quick: Quick, desk: DeskProcess, tmp_path: Path
) -> None:
    words = MARKER.encode()
    theirs = [msgspec.structs.replace(a_case(n, text=MARKER), author_id="author-7") for n in (1, 2)]
    other = a_case(3, text="somebody else")
    quick.send(*theirs, other)
    until(lambda: len(desk.queue()) == 3, "the cases")

    done = run(quick, tmp_path / "table", "erase", "--author", "author-7", "--by", "dana")
    assert done.returncode == 0, done.stderr
    assert "2 cases erased at the desks" in done.stdout
    for case in theirs:
        assert f"{case.id}: author; the case is waiting" in done.stdout
    said = " ".join(done.stdout.split())
    assert f"{quick.messages} the message itself" in said
    assert f"{quick.topics[0]} the case:" in said

    until(lambda: not quick.disk.holding(words, f"{quick.topics[0]}-*"), "the broker to forget them")
    assert sorted(desk.queue()) == sorted([case.id for case in [*theirs, other]])  # no case is hidden by it
    again = run(quick, tmp_path / "table", "erase", "--author", "author-7")
    assert (again.returncode, "no case to erase" in again.stdout) == (0, True)

    assert run(quick, tmp_path / "table", "audit", "--out", str(tmp_path / "audit.jsonl")).returncode == 0
    records = [msgspec.json.decode(line) for line in (tmp_path / "audit.jsonl").read_bytes().splitlines()]
    erased = [(each["actor"], each["case_id"]) for each in records if each.get("case_id")]
    assert sorted(erased) == [("dana", case.id) for case in sorted(theirs, key=lambda case: case.id)]
    assert {each["signature"] for each in records} == {"valid"}
    assert b"author-7" not in (tmp_path / "audit.jsonl").read_bytes()

    # A lead has the same at the desk: what will go, from where, and then it is gone.
    asked_for = a_case(5, text="another one")
    quick.send(asked_for)
    until(lambda: len(desk.queue()) == 4, "the case of the page")
    meant = {"what": "message", "wanted": "m-5"}
    page = desk.person("Lena").post_form("/erase", meant)[2]
    assert asked_for.id in page
    assert f'<td class="id">{quick.messages}</td>' in page
    assert "<td>the message itself, and its author</td>" in page
    assert desk.case(asked_for)["has_text"]
    page = desk.person("Lena").post_form("/erase/done", meant | {"meant": "yes"})[2]
    assert "Cases whose words are erased: 1." in page
    assert not desk.case(asked_for)["has_text"]

    # A desk that is down is not passed over in silence, and does what was asked when it starts.
    late = a_case(4, text=MARKER)
    quick.send(late)
    until(lambda: len(desk.queue()) == 5, "one more case")
    desk.stop(signal.SIGKILL)
    asked = run(quick, tmp_path / "table", "erase", "--message", "m-4", "--wait", "0.1")
    assert asked.returncode != 0
    assert "no desk has answered for 2 partitions" in asked.stderr
    desk.start().ready()
    until(lambda: not quick.disk.holding(words, f"{quick.topics[0]}-*"), "the broker to forget this one too")
    assert late.id in desk.queue()


def test_a_table_that_was_changed_or_whose_key_is_gone_is_never_shown_as_another(
    quick: Quick, desk: DeskProcess, tmp_path: Path
) -> None:
    seen, moved = a_case(1, text="one"), a_case(2, text="another")
    quick.send(seen, moved)
    until(lambda: len(desk.queue()) == 2, "the cases")
    desk.stop(signal.SIGTERM)

    other = DeskProcess(quick.bootstrap, quick.prefix, tmp_path / "table", TABLE_KEYS=Key.make().text).start()
    assert other.stop(signal.SIGCONT) == 1  # it does nothing: the desk ends by itself
    said = other.log().splitlines()[-1]
    assert said.startswith("error: the desk's table was sealed with the key ")

    changelog = f"{quick.prefix}review-cases-changelog"
    forger = Producer({"bootstrap.servers": quick.bootstrap})
    entries = {key: value for key, value in quick.read(changelog) if key is not None}
    for partition in range(2):
        forger.produce(changelog, entries[f"case:{seen.id}".encode()], f"case:{moved.id}", partition)
    assert forger.flush(10) == 0
    elsewhere = DeskProcess(quick.bootstrap, quick.prefix, tmp_path / "elsewhere", STORE="memory")
    elsewhere.start().ready()
    try:
        assert elsewhere.queue() == [seen.id]
        assert "entry_changed" in elsewhere.log()
    finally:
        elsewhere.stop(signal.SIGKILL)
