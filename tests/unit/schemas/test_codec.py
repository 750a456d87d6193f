"""The codec: what it takes, what it refuses, and that no refusal repeats what it was given."""

import base64
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas.events import Label, Message, Origin, ReviewDecision, Severity, Thresholds
from schemas.kinds import KIND_OF, KINDS, Kind

EXAMPLES = Path(schemas.__file__).parent / "examples"
PRIVATE = "nobody-may-read-this"

LABEL: dict[str, Any] = msgspec.json.decode((EXAMPLES / "label.json").read_bytes())[0]["payload"]
names = st.text(min_size=1, max_size=40)
shares = st.floats(0, 1)
times = st.datetimes(timezones=st.just(UTC))
messages = st.builds(
    Message,
    id=names,
    text=st.text(),
    task=st.none() | names,
    conversation_id=st.none() | names,
    author_id=st.none() | names,
    language=st.none() | names,
    sent_at=st.none() | times,
)
labels = st.builds(
    Label,
    id=names,
    message_id=names,
    origin=st.builds(
        Origin, topic=names, partition=st.integers(0, 2**31 - 1), offset=st.integers(0, 2**63 - 1)
    ),
    severity=st.none() | st.builds(Severity, level=names, scores=st.dictionaries(names, shares)),
    thresholds=st.builds(Thresholds, lower=shares, upper=shares, calibration=names),
    risk=shares,
    windows=st.integers(0, 1000),
    screened_at=times,
)


def _json(**fields: Any) -> bytes:
    return msgspec.json.encode({"id": "m-1", "text": "hello", **fields})


def _refusal(content: bytes, kind: Any = Message) -> schemas.CodecError:
    with pytest.raises(schemas.CodecError) as caught:
        schemas.decode(kind, content)
    return caught.value


@given(event=messages | labels)
def test_what_is_encoded_is_decoded_unchanged(event: Message | Label) -> None:
    assert schemas.decode(type(event), schemas.encode(event)) == event


@pytest.mark.parametrize(
    ("content", "kind", "detail"),
    [
        (b"", schemas.InvalidJson, "empty value"),
        (b" \n", schemas.InvalidJson, "empty value"),
        (b'{"id":"m', schemas.InvalidJson, "ends too early"),
        (b'{"id":"m-1","text":"x"}{}', schemas.InvalidJson, "trailing characters (byte 24)"),
        (b'{"id":"m-1","text":NaN}', schemas.InvalidJson, "invalid character (byte 19)"),
        (b'{"id":"m-1","text":"\\ud83d"}', schemas.InvalidJson, "ends too early"),
        (
            b'{"id":"m-1","text":"\\ud83d and more"}',
            schemas.InvalidJson,
            "unexpected end of escaped utf-16 surrogate pair (byte 26)",
        ),
        (b'{"id":"m-1","text":"a\nb"}', schemas.InvalidJson, "invalid character (byte 21)"),
        (
            b'\xef\xbb\xbf{"id":"m-1"}',
            schemas.InvalidJson,
            "begins with a byte order mark: write UTF-8 without one",
        ),
        (b"[" * 100_000 + b"]" * 100_000, schemas.SchemaMismatch, "$: expected `object`, got `array`"),
        (b'{"z":' + b"[" * 100_000 + b"]" * 100_000 + b"}", schemas.InvalidJson, "nested too deeply"),
        (b'{"id":"m-1","text":"\xff"}', schemas.InvalidUtf8, "not UTF-8 at byte 20"),
        (b'{"id":"m-1","text":"x","unknown":"\xff"}', schemas.InvalidUtf8, "not UTF-8 at byte 34"),
        (b'{"id":"m-1","text":"\xed\xa0\x80"}', schemas.InvalidUtf8, "not UTF-8 at byte 20"),
        (b"null", schemas.SchemaMismatch, "$: expected `object`, got `null`"),
        (b'{"id":"m-1"}', schemas.SchemaMismatch, "$: object missing required field `text`"),
        (b'{"id":"","text":"x"}', schemas.SchemaMismatch, "$.id: expected `str` of length >= 1"),
        (b'{"id":1,"text":"x"}', schemas.SchemaMismatch, "$.id: expected `str`, got `int`"),
        (
            _json(sent_at="2026-03-14T22:41:07"),
            schemas.SchemaMismatch,
            "$.sent_at: expected `datetime` with a timezone component",
        ),
        (_json(sent_at="soon"), schemas.SchemaMismatch, "$.sent_at: invalid RFC3339 encoded datetime"),
    ],
)
def test_each_refusal_names_its_reason_and_place(
    content: bytes, kind: type[schemas.CodecError], detail: str
) -> None:
    refusal = _refusal(content)
    assert (type(refusal), refusal.detail) == (kind, detail)


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert schemas.decode(Message, b'{"id":"a","text":"x","id":"b"}').id == "b"


def test_unknown_fields_are_accepted() -> None:
    assert schemas.decode(Message, _json(channel={"evening": [1, None]})).text == "hello"


def test_an_event_that_utf_8_cannot_carry_is_refused_when_written() -> None:
    decision = ReviewDecision(
        "d", "c", "m", "stress", "r", "unsure", None, f"{PRIVATE} \ud83d", datetime(2026, 1, 1, tzinfo=UTC)
    )
    with pytest.raises(schemas.InvalidUtf8) as caught:
        schemas.encode(decision)
    assert PRIVATE not in _everything(caught.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_its_decoder(kind: Kind) -> None:
    assert KIND_OF[kind.event] is kind
    assert isinstance(_refusal(b"[]", kind.event), schemas.SchemaMismatch)


@pytest.mark.parametrize(
    "refused",
    msgspec.json.decode((EXAMPLES / "message.refused.json").read_bytes()),
    ids=lambda refused: refused["name"],
)
def test_refused_examples_are_refused_for_the_reason_they_state(refused: dict[str, Any]) -> None:
    content = (
        base64.b64decode(refused["base64"])
        if "base64" in refused
        else msgspec.json.encode(refused["payload"])
    )
    assert _refusal(content).reason == refused["reason"]


def _spoil(content: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """`content` with what stands at `path` replaced."""
    if not path:
        return value
    head, *rest = path
    if isinstance(content, dict):
        return {**content, head: _spoil(content.get(head), tuple(rest), value)}
    return [value]


secrets = st.sampled_from(
    [
        PRIVATE,
        f"{PRIVATE} - at `$.text`",
        f"Object missing required field `{PRIVATE}`",
        f"Expected `str`, got `int` - at `$.{PRIVATE}`",
        f"`' - at `$.id` {PRIVATE}",
    ]
)
wrong_values = st.one_of(
    secrets,
    st.dictionaries(secrets, secrets, min_size=1),
    st.lists(secrets, min_size=1),
    st.builds(lambda key, value: {key: [value, {key: value}]}, secrets, st.integers() | st.none()),
)
places = st.sampled_from(
    [
        (),
        *((field,) for field in LABEL),
        ("origin", "topic"),
        ("origin", "offset"),
        ("severity", "scores"),
        ("severity", "scores", PRIVATE),
        ("severity", "level"),
        ("thresholds", "lower"),
        ("reasons", 0),
        (PRIVATE,),
    ]
)


@given(
    place=places,
    value=wrong_values,
    cut=st.integers(0, 200),
    raw=st.sampled_from([b"", b"\xff", b"\\ud83d", b"NaN"]),
)
def test_no_refusal_ever_repeats_its_input(
    place: tuple[str | int, ...], value: Any, cut: int, raw: bytes
) -> None:
    whole = msgspec.json.encode(_spoil(LABEL, place, value))
    for content in (
        whole,
        whole[:-cut] if cut else whole,
        whole[: len(whole) // 2] + raw + whole[len(whole) // 2 :],
    ):
        try:
            schemas.decode(Label, content)
        except schemas.CodecError as error:
            assert PRIVATE not in _everything(error)  # noqa: PT017 - most inputs are refused, some rightly are not


def test_a_wrong_enum_value_is_not_quoted() -> None:
    refusal = _refusal(msgspec.json.encode({**LABEL, "verdict": PRIVATE}), Label)
    assert refusal.detail == "$.verdict: not one of the allowed values"


def _everything(error: BaseException) -> str:
    """All that a log or an error tracker could get hold of: messages, causes, contexts, arguments."""
    assert error.__cause__ is None
    assert error.__context__ is None
    return "".join(traceback.format_exception(error)) + repr(error.args) + repr(vars(error))
