"""What an outcome may hold: it always fits its topic, or the worker says at start which topic to change."""

import dataclasses
import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from engine.scores import Scores
from engine.task import SeverityLevel
from schemas.events import DeadLetter, Event, Label, Message, Origin, ReviewCase
from schemas.topics import load_topics
from tests.fakes.worker_app import build_pipeline, settings
from worker.errors import BrokerError, RecordError
from worker.kafka.record import Record
from worker.kafka.topics import TopicState
from worker.stream.batch import Entry
from worker.stream.decode import decode
from worker.stream.outcome import Outcomes
from worker.stream.room import AROUND, SMALLEST, batch_size, encode_within, find_room
from worker.stream.routing import Routing

NOW = datetime(2026, 11, 25, tzinfo=UTC)
MOST = SMALLEST - AROUND


def states(**limits: int) -> list[TopicState]:
    return [
        TopicState(page, 12, max_bytes=limits.get(str(page.event).replace("-", "_"), page.max_message_bytes))
        for page in load_topics()
    ]


def case(text: str | None) -> ReviewCase:
    return ReviewCase(
        "case:m:0:1", "label:m:0:1", "m", Origin("m", 0, 1), "stress", "escalation", "at_risk", 0.9,
        None, 70.0, [], "0" * 64, None, text, NOW,
    )  # fmt: skip


@given(st.text(max_size=40), st.integers(1, 20_000))
def test_a_case_keeps_the_beginning_and_the_end_of_a_text_that_does_not_fit(piece: str, times: int) -> None:
    text = "begin" + piece * times + "end"
    content = encode_within(case(text), MOST)
    assert len(content) <= MOST
    found = schemas.decode(ReviewCase, content)
    whole = len(schemas.encode(case(text))) <= MOST
    assert found.text_shortened is not whole
    assert found.text is not None
    assert found.text == text if whole else found.text.startswith("begin") and found.text.endswith("end")
    assert msgspec.structs.replace(found, text=text, text_shortened=False) == case(text)


def test_a_shortened_text_uses_the_room_there_is() -> None:
    assert len(encode_within(case("\x01" * 50_000 + "quiet " * 50_000), MOST)) > MOST * 0.8


def test_a_dead_letter_leaves_out_an_original_that_does_not_fit() -> None:
    letter = DeadLetter("d", Origin("m", 0, 1), "invalid_json", "malformed", b"x" * MOST, MOST, NOW)
    found = schemas.decode(DeadLetter, encode_within(letter, MOST))
    assert found == msgspec.structs.replace(letter, original=None)


def test_the_largest_outcomes_a_message_can_cause_fit_the_smallest_topics() -> None:
    """Every field that is copied, at its longest, of characters that JSON writes with six bytes each."""
    worst = "\x01" * 256
    value = json.dumps({"id": worst, "conversation_id": worst, "text": "quiet " * 16_000}).encode()
    record = Record("t" * 249, 2**31 - 1, 2**63 - 1, b"k" * 4096, value)
    room: dict[type[Event], int] = dict.fromkeys((Label, ReviewCase, DeadLetter), MOST)
    levels = tuple(SeverityLevel(f"level-{n}", str(n), "") for n in range(9))
    pipeline = build_pipeline(fingerprint="f" * 64)
    severity = msgspec.structs.replace(pipeline.task.severity, levels=levels)
    pipeline = dataclasses.replace(pipeline, task=msgspec.structs.replace(pipeline.task, severity=severity))
    outcomes = Outcomes(settings(), Routing(pipeline), room)
    scored = Entry(record, decode(value, frozenset(), 100_000), scores=Scores(0.9, (1 / 9,) * 9, 16, True))
    refused = Entry(record, rejection=RecordError("unreadable_record", "a reason"))
    for _, outbound in outcomes.of([scored, refused]):
        headers = sum(len(name) + len(content or b"") for name, content in outbound.headers)
        assert len(outbound.key) + len(outbound.value) + headers < SMALLEST - 500


@pytest.mark.parametrize("event", ["label", "review_case", "dead_letter"])
def test_a_topic_too_small_for_any_outcome_is_refused_at_start_with_its_name_and_remedy(event: str) -> None:
    with pytest.raises(BrokerError, match=rf"mimamori.{event.replace('_', '-')}s takes .*--add-config max"):
        find_room(states(**{event: SMALLEST - 1}), {})


def test_a_client_that_may_send_too_little_is_refused_at_start() -> None:
    with pytest.raises(BrokerError, match=r"message\.max\.bytes of MIMAMORI_KAFKA"):
        find_room(states(), {"message.max.bytes": SMALLEST - 1})


def test_the_smaller_of_the_topics_and_the_clients_limit_counts() -> None:
    assert find_room(states(message=1), {})[Label] == 1_048_576 - AROUND
    assert find_room(states(), {"message.max.bytes": 50_000})[ReviewCase] == 50_000 - AROUND
    assert batch_size(find_room(states(label=20_000), {})) == 20_000
    assert Message not in find_room(states(), {})
