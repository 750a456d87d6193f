"""bytes → message or dead letter: every reason, exact limits, and nothing else for any bytes at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas.events import Message
from worker.errors import RecordError
from worker.stream.decode import decode, within

TASK, TASKS, LIMIT = "stress", frozenset({"stress", "suicide-risk"}), 1000
SECRET = "nobody else may read this"  # noqa: S105 - a message's text


def envelope(text: str, **more: object) -> bytes:
    return json.dumps({"id": "m1", "text": text, **more}).encode()


def reason_of(value: bytes | None, limit: int = LIMIT) -> str | None:
    try:
        decode(value, TASKS, limit)
    except RecordError as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_value"),
        (b"", "invalid_json"),
        (b"\xff\xfe", "invalid_utf8"),
        (b'{"id": "1", "text": "\xc3\x28"}', "invalid_utf8"),
        (b'{"id": "1", "text": "cut', "invalid_json"),
        (b'\xef\xbb\xbf{"id": "1", "text": "x"}', "invalid_json"),
        (b'{"id": "1", "text": "\\ud83d"}', "invalid_json"),
        (b'{"id": "1", "text": "x", "more": ' + b"[" * 100_000, "invalid_json"),
        (b"{}", "schema_mismatch"),
        (b"[]", "schema_mismatch"),
        (b"null", "schema_mismatch"),
        (b'{"id": "1"}', "schema_mismatch"),
        (b'{"id": "", "text": "x"}', "schema_mismatch"),
        (b'{"id": 1, "text": "x"}', "schema_mismatch"),
        (b'{"id": "1", "text": null}', "schema_mismatch"),
        (b'{"id": "1", "text": "x", "sent_at": "2026-01-01T00:00:00"}', "schema_mismatch"),
        (envelope(""), "empty_text"),
        (envelope("x", task="another"), "unknown_task"),
    ],
)
def test_every_reason(value: bytes | None, reason: str) -> None:
    assert reason_of(value) == reason


@pytest.mark.parametrize("value", [envelope("x"), envelope("x", task=TASK), envelope("x", mood=["new"])])
def test_what_is_for_this_worker_is_read(value: bytes) -> None:
    assert decode(value, TASKS, LIMIT).text == "x"


@pytest.mark.parametrize(
    "blank",
    [
        *(" ", "\t\r\n\f\v", "\u00a0", "\u2003\u2009", "\u2028\u2029", "\u3000", "\u0000"),
        *("\u200b", "\ufeff", "\u200d\u2060", "\u202e\u202c", " \u200b\u3000\u00ad\n"),
    ],
)
def test_what_nobody_can_see_is_empty(blank: str) -> None:
    """Whitespace of any script, and the zero-width and control characters that look like nothing."""
    assert reason_of(envelope(blank)) == "empty_text"
    assert reason_of(envelope(f"{blank}.{blank}")) is None


@pytest.mark.parametrize("text", ["👩\u200d👩\u200d👧", "नम\u200dस्ते", "助けて", "?", "\U0001facd", "\u0301"])
def test_what_can_be_seen_is_read_untouched(text: str) -> None:
    assert decode(envelope(text), TASKS, LIMIT).text == text


def test_the_limit_counts_characters_exactly() -> None:
    for character in ("死", "👧"):
        whole = decode(envelope(character * LIMIT), TASKS, LIMIT)
        assert within(whole, LIMIT) == (whole, False)
        longer = decode(envelope(character * LIMIT + "."), TASKS, LIMIT)
        assert within(longer, LIMIT) == (whole, True)


def test_a_long_text_is_never_called_empty() -> None:
    """Its visible part may stand above the limit, and nobody looks at ten million characters one by one."""
    assert reason_of(envelope(" " * 10_000_000)) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries({}, optional=dict.fromkeys(Message.__struct_fields__, JSON))
ALMOST = FIELDS.map(lambda fields: json.dumps(fields).encode())
CUT = st.tuples(ALMOST, st.integers(0, 80)).map(lambda pair: pair[0][: pair[1]])


@given(st.binary(max_size=200) | ALMOST | CUT)
def test_any_bytes_are_a_message_or_a_record_error(value: bytes) -> None:
    try:
        message = decode(value, TASKS, LIMIT)
    except RecordError as error:
        refusal = error
    else:
        assert message.text.strip()
        assert schemas.decode(Message, schemas.encode(message)) == message
        return
    assert 0 < len(refusal.detail) < 200
    assert "\n" not in refusal.detail


@pytest.mark.parametrize(
    "value",
    [
        SECRET.encode(),
        f'{{"id": "1", "text": "{SECRET}'.encode(),
        f'{{"id": "1", "text": "{SECRET}"}} {SECRET}'.encode(),
        f'{{"id": "1", "text": ["{SECRET}"]}}'.encode(),
        f'{{"id": "1", "text": "x", "sent_at": "{SECRET}"}}'.encode(),
        f'{{"{SECRET}": 1}}'.encode(),
        f'{{"id": "1", "text": "{SECRET}'.encode() + b"\xff",
        envelope(SECRET, task=SECRET),
    ],
)
def test_a_refusal_never_quotes_the_record(value: bytes) -> None:
    with pytest.raises(RecordError) as refusal:
        decode(value, TASKS, LIMIT)
    chain: BaseException | None = refusal.value
    while chain is not None:
        assert SECRET not in f"{chain} {chain.args}"
        chain = chain.__context__
    assert SECRET not in refusal.value.detail
