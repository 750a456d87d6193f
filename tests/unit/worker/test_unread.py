"""The review case of what no model has read: what of it a person gets to see, and where it stands."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas.events import DeadLetter, Message, ReviewCase
from schemas.reasons import DEAD_LETTER_REASONS, DeadLetterReason
from worker.kafka.record import Record
from worker.stream.unread import LONGEST_TEXT, priority_of, unread_case

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNREAD = [reason for reason in get_args(DeadLetterReason) if priority_of(reason) is not None]


def case_of(value: bytes | None, reason: DeadLetterReason, topic: str = "messages") -> ReviewCase:
    record = Record(topic, 3, 1042, b"key", value)
    letter = DeadLetter(schemas.dead_letter_id(record.origin), record.origin, reason, "", None, None, NOW)
    case = unread_case(letter, record, "stress", ("low", "high"), with_text=True)
    assert case is not None
    return case


def test_a_message_that_the_model_fails_on_is_shown_whole_and_first() -> None:
    message = Message("m-1", "nobody has answered me all day", conversation_id="c-7")
    case = case_of(schemas.encode(message), "unscreenable")
    assert (case.message_id, case.conversation_id, case.text) == ("m-1", "c-7", message.text)
    assert case.levels == ["low", "high"]
    assert case.priority == max(filter(None, map(priority_of, UNREAD))) == 100


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"id": 7, "text": "\\u3082\\u3046\\u7121\\u7406"}', "もう無理"),
        (b'{"id": "1", "text": "cut off he', '{"id": "1", "text": "cut off he'),
        ("{'text': 'not JSON'}".encode("utf-16"), None),
        (b"\xff\xfe\xfd", "\ufffd" * 3),
        (b'{"text": ["a list"]}', '{"text": ["a list"]}'),
    ],
)
def test_what_can_be_read_of_it_is_shown(value: bytes, shown: str | None) -> None:
    text = case_of(value, "schema_mismatch").text
    assert text is not None
    assert shown is None or text == shown


@given(st.binary(max_size=200), st.sampled_from(UNREAD))
def test_every_record_becomes_a_case_that_can_be_read_back(value: bytes, reason: DeadLetterReason) -> None:
    case = case_of(value, reason, topic="t" * 249)
    assert schemas.decode(ReviewCase, schemas.encode(case)) == case
    assert len(case.text or "") <= LONGEST_TEXT


def test_of_a_large_record_the_beginning_is_shown() -> None:
    assert case_of(b"[" * 3_000_000, "invalid_json").text == "[" * LONGEST_TEXT


@pytest.mark.parametrize("reason", get_args(DeadLetterReason))
def test_a_case_is_opened_where_the_contract_says_that_a_person_looks(reason: DeadLetterReason) -> None:
    meaning = DEAD_LETTER_REASONS[reason]
    looked_at = priority_of(reason) is not None
    assert looked_at == (meaning.shown_as is not None) == meaning.looked_at_by.startswith("a person")
