"""Avro of any writer's schema: what is read, what is refused, and that neither costs more than its bytes."""

import io
import json
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas.avro import avro_schema
from schemas.events import Message
from schemas.kinds import KINDS
from worker.errors import RecordError
from worker.registry.avro import avro_reader
from worker.registry.avro_schema import MOST_DEEP, MOST_NODES, UnusableSchemaError
from worker.registry.framing import framed, schema_id_of

ID, TEXT = {"name": "id", "type": "string"}, {"name": "text", "type": "string"}
SECRET = "nobody else may read this"  # noqa: S105 - a message's text


def record(*fields: dict[str, Any], name: str = "M") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def written(schema: dict[str, Any], values: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(json.dumps(schema))), values)
    return framed(1, stream.getvalue())


def read(schema: Any, value: bytes) -> Message:
    return avro_reader([json.dumps(schema).encode()])(value)


def refusal_of(schema: Any, value: bytes) -> RecordError:
    with pytest.raises(RecordError) as refusal:
        read(schema, value)
    assert refusal.value.__context__ is None  # it could hold the input
    return refusal.value


OURS = fastavro.parse_schema(avro_schema(KINDS[0]))
READ_OURS = avro_reader([json.dumps(avro_schema(KINDS[0])).encode()])
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - they get one


@given(
    st.builds(
        Message,
        id=st.text(min_size=1, max_size=256),
        text=st.text(),
        author_id=st.none() | st.text(max_size=256),
        sent_at=st.none() | TIMES,
    )
)
def test_our_own_schema_carries_every_message(message: Message) -> None:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, OURS, msgspec.structs.asdict(message))
    assert READ_OURS(framed(1, stream.getvalue())) == message


def test_every_event_has_an_avro_schema_that_fastavro_takes() -> None:
    for kind in KINDS:
        fastavro.parse_schema(avro_schema(kind))


def test_fields_are_found_by_name_then_by_alias_and_others_are_skipped() -> None:
    schema = record(
        {"name": "headers", "type": {"type": "map", "values": ["null", "bytes"]}},
        {"name": "line", "type": "string", "aliases": ["id", "text"]},
        {
            "name": "lang",
            "type": {"type": "enum", "name": "L", "symbols": ["en", "ja"]},
            "aliases": ["language"],
        },
        {"name": "text", "type": ["string", "null"]},
        {
            "name": "author",
            "type": record({"name": "deep", "type": {"type": "array", "items": "long"}}, name="A"),
        },
        {"name": "author_id", "type": {"type": "string", "logicalType": "uuid"}},
    )
    values = {
        "headers": {"a": None, "b": b"\xff"},
        "line": "m1",
        "lang": "ja",
        "text": "元気?",
        "author": {"deep": [1, -5]},
        "author_id": "not a uuid at all",
    }
    assert read(schema, written(schema, values)) == Message(
        "m1", "元気?", language="ja", author_id="not a uuid at all"
    )


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (record(ID), "has no field text"),
        (record(TEXT, {"name": "message_id", "type": "string"}), "has no field id"),
        (record(ID, {"name": "text", "type": "bytes"}), "a field text of another type than string or null"),
        (
            record(ID, TEXT, {"name": "sent_at", "type": "long"}),
            "sent_at of another type than timestamp-millis",
        ),
        (record(ID, TEXT, {"name": "author_id", "type": ["null", "long"]}), "author_id of another type"),
        (record(ID, TEXT, {"name": "next", "type": ["null", "M"]}), "holds itself"),
        (
            record(ID, TEXT, {"name": "n", "type": {"type": "array", "items": "null"}}),
            "null outside of a union",
        ),
        (record(ID, TEXT, {"name": "e", "type": record(name="E")}), "record without fields"),
        (record(ID, TEXT, {"name": "f", "type": {"type": "fixed", "name": "F", "size": 0}}), "of no size"),
        ("string", "is no record"),
        ([record(ID, TEXT)], "is no record"),
        (7, "is no valid Avro schema"),
        ({}, "is no valid Avro schema"),
        (record(ID, TEXT, {"name": "a", "type": "no.such.Type"}), "is no valid Avro schema"),
        ({"type": "record", "__fastavro_parsed": True, "fields": [ID, TEXT]}, "is no valid Avro schema"),
        ({"type": "record", "name": "M", "fields": "id"}, "is no valid Avro schema"),
        (record({**ID, "aliases": 7}, TEXT), "is no valid Avro schema"),
        (record(ID, TEXT, *({"name": f"f{n}", "type": "int"} for n in range(MOST_NODES))), "more than 4000"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_in_words_of_ours(schema: Any, said: str) -> None:
    with pytest.raises(UnusableSchemaError, match=said):
        avro_reader([json.dumps(schema).encode()])


def nested(times: int) -> Any:
    node: Any = "int"
    for _ in range(times):
        node = {"type": "array", "items": node}
    return record(ID, TEXT, {"name": "deep", "type": node})


def laughs(times: int, leaf: Any) -> Any:
    """A type that has twice what the one before has: 2 ** times leaves, named in a few lines."""
    fields: list[dict[str, Any]] = [{"name": "f0", "type": record({"name": "x", "type": leaf}, name="T0")}]
    for n in range(1, times):
        twice = [{"name": side, "type": f"T{n - 1}"} for side in ("a", "b")]
        fields.append({"name": f"f{n}", "type": record(*twice, name=f"T{n}")})
    return record(ID, TEXT, *fields)


def test_depth_is_bounded_however_it_is_written() -> None:
    avro_reader([json.dumps(nested(40)).encode()])
    with pytest.raises(UnusableSchemaError, match=f"more than {MOST_DEEP} deep"):
        avro_reader([json.dumps(nested(MOST_DEEP)).encode()])
    with pytest.raises(UnusableSchemaError):
        avro_reader([b'{"type":"array","items":' * 100_000])
    with pytest.raises(UnusableSchemaError, match="deep"):
        avro_reader([json.dumps(laughs(MOST_DEEP + 2, "int")).encode()])


def test_the_work_for_a_record_is_bounded_by_its_bytes() -> None:
    # 2 ** 40 leaves of one byte each: the record would have to be as large, and this one ends early.
    reader = avro_reader([json.dumps(laughs(40, "int")).encode()])
    with pytest.raises(RecordError, match="no Avro record of its schema"):
        reader(framed(1, b"\x02a\x02b" + b"\x00" * 100_000))
    with pytest.raises(UnusableSchemaError):  # … and where leaves take no byte, it is refused
        avro_reader([json.dumps(laughs(40, "null")).encode()])


EMPTY = record(name="Empty")
TAKEN = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
TAKEN += ["record", "error", "enum", "fixed", "array", "map", "union", "error_union", "request"]


@pytest.mark.parametrize("name", TAKEN)
def test_no_type_may_be_called_as_one_of_avros_own(name: str) -> None:
    hiding = record({"name": "x", "type": {"type": "array", "items": EMPTY}}, name=name)
    for inner in (
        hiding,
        {**hiding, "namespace": ""},
        record({"name": "y", "type": hiding}, name="Outer"),
        {"type": "array", "items": hiding},
        ["null", hiding],
        {"type": "enum", "name": name, "symbols": ["a"]},
        {"type": "fixed", "name": name, "size": 1},
        {"type": "fixed", "name": name, "size": 0},
    ):
        with pytest.raises(UnusableSchemaError, match=r"name of one of Avro's own|null outside"):
            read(record(ID, TEXT, {"name": "x", "type": inner}), b"")
    root = record(ID, TEXT, {"name": "x", "type": {"type": "array", "items": EMPTY}}, name=name)
    for schema in (root, {**root, "namespace": ""}, record(ID, TEXT, name=name)):
        with pytest.raises(UnusableSchemaError, match="name of one of Avro's own"):
            read(schema, b"")
    with pytest.raises(UnusableSchemaError, match="name of one of Avro's own"):  # … nor in what it refers to
        avro_reader([json.dumps(hiding).encode(), json.dumps(record(ID, TEXT)).encode()])


@pytest.mark.parametrize("name", TAKEN)
def test_with_a_namespace_such_a_name_is_another_and_what_it_holds_is_checked(name: str) -> None:
    within = {"namespace": "com.example"}
    hiding = record({"name": "x", "type": {"type": "array", "items": EMPTY}}, name=name) | within
    for schema in (
        record(ID, TEXT, {"name": "x", "type": hiding}),
        {**hiding, "fields": [ID, TEXT, *hiding["fields"]]},
    ):
        with pytest.raises(UnusableSchemaError, match="record without fields"):
            read(schema, b"")
    whole = record(ID, TEXT, {"name": "x", "type": {"type": "enum", "name": name, "symbols": ["a"]}}) | within
    assert read(whole, written(whole, {"id": "m", "text": "t", "x": "a"})) == Message("m", "t")


def test_an_annotated_primitive_is_a_leaf_as_before() -> None:
    schema = record(
        ID,
        TEXT,
        {"name": "sent_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date", "name": "int"}},
        {
            "name": "days",
            "type": {"type": "array", "items": {"type": {"type": "int", "logicalType": "date"}}},
        },
    )
    value = framed(1, b"\x02a\x02b" + b"\x02" + b"\x04" + b"\x02\x02\x00")
    assert read(schema, value).sent_at == datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)


def test_two_types_of_one_name_in_what_a_schema_refers_to_are_refused() -> None:
    hidden = record({"name": "a", "type": record({"name": "x", "type": EMPTY}, name="A")}, name="B")
    again = record(ID, TEXT, {"name": "p", "type": record(ID, name="A")}, {"name": "q", "type": "B"})
    with pytest.raises(UnusableSchemaError, match="two types of one name"):
        avro_reader([json.dumps(hidden).encode(), json.dumps(again).encode()])


@pytest.mark.parametrize(
    "item",
    ["boolean", "int", "float", "double", "bytes", "string", ["null", "double"]],
    ids=str,
)
@pytest.mark.parametrize("kind", [("array", "items"), ("map", "values")])
def test_of_more_items_than_a_record_has_bytes_none_is_read(item: Any, kind: tuple[str, str]) -> None:
    schema = record(ID, TEXT, {"name": "x", "type": {"type": kind[0], kind[1]: item}})
    value = framed(1, b"\x02a\x02b" + b"\xfe" + b"\xff" * 8 + b"\x01" + b"\x00" * 100)  # 2 ** 63 - 1
    assert refusal_of(schema, value).reason == "unreadable_record"


@pytest.mark.parametrize("size", [0, -1, None, "4", [1], 1 << 70, 1 << 40, 1.5, True, 1, 16, (1 << 31) - 1])
def test_a_fixed_of_any_size_takes_a_byte_at_least_and_no_more_than_there_is(size: object) -> None:
    schema = record(
        ID,
        TEXT,
        {"name": "f", "type": {"type": "array", "items": {"type": "fixed", "name": "F", "size": size}}},
    )
    many = framed(1, b"\x02a\x02b" + b"\xfe" + b"\xff" * 8 + b"\x01" + b"x" * 100)  # 2 ** 62 of them, or so
    tracemalloc.start()
    try:
        with pytest.raises((UnusableSchemaError, RecordError)) as refusal:
            read(schema, many)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(refusal.value, UnusableSchemaError) == (type(size) is not int or not 0 < size < 1 << 31)


@pytest.mark.parametrize("symbols", [[], "ab", {}, [1], None, ["a"], ["a" * 100_000]])
def test_an_enum_of_any_symbols_takes_a_byte_and_gives_no_more_than_its_schema(symbols: Any) -> None:
    of_enum = {"type": "enum", "name": "E", "symbols": symbols}
    schema = record(
        ID, TEXT, {"name": "task", "type": of_enum}, {"name": "e", "type": {"type": "array", "items": "E"}}
    )
    value = framed(1, b"\x02a\x02b" + b"\x00" + b"\xfe" + b"\xff" * 8 + b"\x01" + b"\x00" * 100)
    with pytest.raises((UnusableSchemaError, RecordError)):
        read(schema, value)


def test_what_is_not_needed_is_never_built() -> None:
    item = record(*({"name": f"f{n}", "type": "boolean"} for n in range(4)), name="I")
    schema = record(ID, TEXT, {"name": "items", "type": {"type": "array", "items": item}})
    many = 100_000
    value = written(
        schema, {"id": "m", "text": "t", "items": [dict.fromkeys(("f0", "f1", "f2", "f3"), True)] * many}
    )
    reader = avro_reader([json.dumps(schema).encode()])
    tracemalloc.start()
    try:
        assert reader(value) == Message("m", "t")
        assert tracemalloc.get_traced_memory()[1] < 4 * len(value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "unreadable_record"),
        (b"\x02a", "unreadable_record"),
        (b"\x02a\x7fshort", "unreadable_record"),
        (b"\x02a\x01", "unreadable_record"),  # a text of -1 bytes
        (b"\x02a" + b"\xff" * 9 + b"\x01", "unreadable_record"),  # … and of 2 ** 63
        (b"\x02a\x02b\x00", "unreadable_record"),  # a byte follows
        (b"\x00\x02b", "schema_mismatch"),  # an empty id
        (b"\x02a\x02\xff", "invalid_utf8"),
    ],
)
def test_bytes_that_are_no_such_record_are_a_dead_letter(value: bytes, reason: str) -> None:
    assert refusal_of(record(ID, TEXT), framed(1, value)).reason == reason


def test_a_null_where_a_text_is_needed_and_a_time_beyond_all_calendars_are_named() -> None:
    schema = record(ID, {"name": "text", "type": ["null", "string"]})
    assert refusal_of(schema, framed(1, b"\x02a\x00")).detail == "$.text: expected `str`, got `null`"
    time_of = {"name": "sent_at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
    far = refusal_of(record(ID, TEXT, time_of), framed(1, b"\x02a\x02b" + b"\xfe" + b"\xff" * 8 + b"\x01"))
    assert far.detail == "$.sent_at: out of range"


RICH = record(
    ID,
    TEXT,
    {"name": "tags", "type": {"type": "array", "items": ["null", "string", "double"]}},
    {"name": "more", "type": {"type": "map", "values": {"type": "array", "items": "bytes"}}},
    {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["a", "b"]}},
    {"name": "hash", "type": {"type": "fixed", "name": "H", "size": 16}},
)
READ_RICH = avro_reader([json.dumps(RICH).encode()])


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"\x02a\x02b" + rest))
def test_any_bytes_are_a_message_or_a_refusal_that_quotes_nothing(payload: bytes) -> None:
    with suppress(RecordError):
        assert isinstance(READ_RICH(framed(1, payload)), Message)


def test_no_refusal_quotes_the_text() -> None:
    schema = record(ID, TEXT, {"name": "task", "type": "string"})
    value = written(schema, {"id": "m", "text": SECRET, "task": SECRET * 20})
    assert SECRET not in str(refusal_of(schema, value))
    assert SECRET not in str(refusal_of(schema, value[:-3]))


def test_framing_is_told_from_json_by_its_first_byte() -> None:
    assert schema_id_of(framed(4_294_967_295, b"x")) == 4_294_967_295
    assert [schema_id_of(value) for value in (None, b"", b"{}", b" {}", b"\x01\x00\x00\x00\x07x")] == [
        None
    ] * 5
    assert schema_id_of(b"\x00\x00\x00") == -1
    assert schema_id_of(schemas.encode(Message("a", "b"))) is None
