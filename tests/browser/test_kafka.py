"""The whole desk end to end: a real Kafka, the desk as a process, two reviewers with browsers and keys.

The suite works through a few cases. A day's work, without a dead end:

    DESK_CASES=200 .venv/bin/pytest -s tests/browser/test_kafka.py
"""

import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    NewTopic,
)
from playwright.sync_api import Page, expect

from mimamori import process
from schemas import load_topics
from schemas.codec import decode, encode
from schemas.events import CaseEvent, ReviewDecision
from tests.browser.conftest import SignIn
from tests.browser.test_work import keys
from tests.fakes.review_cases import a_case

CASES = int(os.environ.get("DESK_CASES", "8"))
PATIENCE_S = 60.0
# Long enough to undo on a slow machine; what is decided waits so long before it is published.
UNDO_S = 8
DEADLINE_S = 120.0 + 10 * CASES


Start = Callable[..., "DeskOnKafka"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class DeskOnKafka:
    """A desk with topics of its own."""

    def __init__(self, bootstrap: str, folder: Path, **settings: object) -> None:
        self._bootstrap = bootstrap
        self.prefix = f"browser-{secrets.token_hex(4)}."
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        topics = [NewTopic(topic.name, 2, 1) for topic in load_topics(self.prefix)]
        for made in self._admin.create_topics(topics).values():
            made.result()
        port, health = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        log = folder / "desk.log"
        self._process = process.start(
            process.DESK,
            {
                "bootstrap": bootstrap,
                "topic_prefix": self.prefix,
                "port": port,
                "health_port": health,
                "folder": folder / "desk",
                "undo_seconds": UNDO_S,
                "double_review_share": 0,  # each case is decided once
                "refresh_seconds": 1,
                **settings,
            },
            log,
        )
        process.await_ready(self._process, health, log, PATIENCE_S)

    def open(self, count: int) -> None:
        """Cases arrive."""
        producer = Producer({"bootstrap.servers": self._bootstrap, "partitioner": "murmur2_random"})
        for number in range(count):
            case = a_case(number)
            producer.produce(self.prefix + "review-cases", encode(case), key=case.id)
        assert producer.flush(10) == 0

    def read(self, topic: str) -> list[bytes]:
        """Every record of a topic, in order within a case."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": self.prefix + "reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(self.prefix + topic, partition, 0) for partition in range(2)])
        values: list[bytes] = []
        ended = 0
        while ended < 2:
            record = consumer.poll(PATIENCE_S)
            assert record is not None
            if (error := record.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended += 1
            elif (value := record.value()) is not None:
                values.append(value)
        consumer.close()
        return values

    def events(self) -> list[CaseEvent]:
        return [decode(CaseEvent, value) for value in self.read("case-events")]

    def decisions(self) -> list[ReviewDecision]:
        return [decode(ReviewDecision, value) for value in self.read("review-decisions")]

    def close(self) -> None:
        process.end(self._process, PATIENCE_S)
        mine = [name for name in self._admin.list_topics(timeout=10).topics if name.startswith(self.prefix)]
        for deletion in self._admin.delete_topics(mine).values():
            deletion.result()
        del self._admin


@pytest.fixture
def start(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Start]:
    """Starts desks on the sandbox's Kafka."""
    desks: list[DeskOnKafka] = []

    def starting(**settings: object) -> DeskOnKafka:
        desks.append(DeskOnKafka(kafka_bootstrap, tmp_path, **settings))
        return desks[-1]

    yield starting
    for desk in desks:
        desk.close()


def work(page: Page, turn: int) -> bool:
    """Take a case and do something with it; False where there is none to take."""
    keys(page, "n")
    expect(page.locator(".masked .main, .notice:has-text('no case for you')").first).to_be_visible()
    if not page.locator(".masked").is_visible():
        return False
    keys(page, "r")
    expect(page.locator("#text")).to_be_visible()
    if turn % 7 == 3:
        keys(page, "s", "4", "Enter")  # it needs context: whoever skips it for good leaves one reader of two
        expect(page.get_by_text("You skipped the case.")).to_be_visible()
        return True
    if turn % 7 == 5:
        keys(page, "e")
        expect(page.locator("#extend")).to_be_focused()
    # 1 to 4: an answer; 5: unsure, which asks the other one.
    keys(page, "5" if turn % 11 == 6 else str(1 + turn % 4), "Enter")
    expect(page.locator(".outcome")).to_be_visible()
    if turn % 7 == 6:
        keys(page, "u")
        expect(page.locator(".decision")).to_be_visible()
        keys(page, "1", "Enter")
        expect(page.locator(".outcome")).to_be_visible()
    return True


def test_two_reviewers_decide_every_case_once_by_keyboard(start: Start, sign_in: SignIn) -> None:
    # All of these are severe, and the desk would spare both after ten; it would also have some read twice.
    desk = start(severe_per_hour=1000, double_review_share=0, skip_minutes=0.05)
    aoi, ben = sign_in(desk.url, "Aoi"), sign_in(desk.url, "Ben")
    desk.open(CASES)
    expect(aoi.locator(".count strong")).to_have_text(str(CASES), timeout=60_000)
    turn, deadline = 0, time.monotonic() + DEADLINE_S
    # What Ben is unsure of comes back for Aoi, once it cannot be undone any more.
    while any([work(aoi, turn), work(ben, 7 * turn)]) or len(desk.decisions()) < CASES:
        turn += 1
        assert time.monotonic() < deadline, "the queue never ends"
    decided = Counter(decision.case_id for decision in desk.decisions())
    assert decided == Counter({a_case(number).id: 1 for number in range(CASES)})
    assert_held_by_one_at_a_time(desk.events())
    aoi.goto(desk.url)
    expect(aoi.get_by_text("Nobody is waiting")).to_be_visible()


def assert_held_by_one_at_a_time(events: list[CaseEvent]) -> None:
    """No case was claimed while somebody held it, as the log itself says."""
    held: dict[str, str] = {}
    accepted: Counter[str] = Counter()
    for event in events:
        if event.action == "raised" or event.revision != accepted[event.case_id]:
            continue  # it counts as no step; or it came second, and was refused
        accepted[event.case_id] += 1
        if event.action == "claimed":
            assert event.case_id not in held
            held[event.case_id] = event.actor
        elif event.action in {"released", "expired", "settled", "referred"}:
            held.pop(event.case_id, None)
        elif event.action in {"decided", "extended", "undone"}:
            assert held[event.case_id] == event.actor
    assert held == {}


def test_a_lease_expires_and_a_colleague_decides(start: Start, sign_in: SignIn) -> None:
    desk = start(lease_seconds=4, undo_seconds=1)
    aoi, ben = sign_in(desk.url, "Aoi"), sign_in(desk.url, "Ben")
    desk.open(1)
    expect(aoi.locator(".row")).to_have_count(1)
    keys(aoi, "n")
    expect(aoi.locator(".masked")).to_be_visible()
    keys(ben, "n")
    expect(ben.get_by_text("There is no case for you to take just now.")).to_be_visible()
    expect(aoi.locator(".state")).to_have_text("This case waits for a reader.", timeout=20_000)
    keys(ben, "n")
    expect(ben.locator(".masked")).to_be_visible()
    keys(ben, "1", "Enter")
    expect(ben.locator(".outcome")).to_be_visible()
    deadline = time.monotonic() + DEADLINE_S
    while not (published := desk.decisions()):
        assert time.monotonic() < deadline
    (decision,) = published
    assert (decision.reviewer, decision.finding) == ("Ben", "not_at_risk")
    steps = [(event.action, event.actor) for event in desk.events()]
    assert steps == [
        ("claimed", "Aoi"),
        ("expired", "desk"),
        ("claimed", "Ben"),
        ("decided", "Ben"),
        ("settled", "desk"),
    ]
