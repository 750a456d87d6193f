"""What the Avro schemas of events promise: yesterday's labels are read today, and today's yesterday."""

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest

import schemas
from schemas.avro import FRAMED, avro_schema
from schemas.avro_evolution import unreadable_avro
from schemas.events import Label
from schemas.generate import FrozenSchemaError, breaks_of_avro_promise, generate
from schemas.kinds import KIND_OF, KINDS, Kind

HISTORY = Path(schemas.__file__).parent / "history"
Change = Callable[[dict[str, Any]], object]
FROZEN = sorted(HISTORY.glob("v*/*.avsc"))


def version_of(path: Path) -> int:
    return int(path.parent.name.removeprefix("v"))


def kind_of(path: Path) -> Kind:
    return next(kind for kind in FRAMED if kind.name == path.stem)


def changed(change: Change, kind: type[Any] = Label) -> dict[str, Any]:
    schema = copy.deepcopy(avro_schema(KIND_OF[kind]))
    change(schema)
    return schema


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in schema["fields"] if each["name"] == name)


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_today_keeps_what_every_version_promised(frozen: Path) -> None:
    kind, older = kind_of(frozen), msgspec.json.decode(frozen.read_bytes())
    assert breaks_of_avro_promise(kind, version_of(frozen), older, avro_schema(kind)) == []


def test_the_version_of_today_is_frozen() -> None:
    assert {(kind.name, kind.version) for kind in FRAMED} <= {
        (path.stem, version_of(path)) for path in FROZEN
    }


BREAKS: list[tuple[str, Change, str]] = [
    (
        "a field without a default",
        lambda s: s["fields"].append({"name": "why", "type": "string"}),
        "$.why: has no",
    ),
    ("another type", lambda s: field(s, "risk").update(type="string"), "$.risk: double became string"),
    ("a smaller type", lambda s: field(s, "risk").update(type="long"), "$.risk: double became long"),
    ("null no more", lambda s: field(s, "depth").update(type="long", default=0), "$.depth: null became long"),
    ("another name", lambda s: s.update(name="Labels"), "$: record Label became Labels"),
    (
        "another inner type",
        lambda s: field(s, "severity")["type"][1]["fields"][1].update(type={"type": "map", "values": "long"}),
        "$.severity.scores.*: double became long",
    ),
    (
        "an item",
        lambda s: field(s, "reasons")["type"].update(items="long"),
        "$.reasons[]: string became long",
    ),
    (
        "a time",
        lambda s: field(s, "screened_at").update(type="long"),
        "$.screened_at: long (timestamp-micros)",
    ),
    (
        "not in the union",
        lambda s: field(s, "depth").update(type=["null", "string"]),
        "$.depth: long is not in",
    ),
]


@pytest.mark.parametrize(("change", "said"), [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS])
def test_a_break_is_named_and_a_reference_reader_agrees(change: Change, said: str) -> None:
    older, newer = avro_schema(KIND_OF[Label]), changed(change)
    broken = unreadable_avro(older, newer)
    assert [line for line in broken if line.startswith(said)], broken
    example = msgspec.json.decode((HISTORY.parent / "examples" / "label.json").read_bytes())[0]["payload"]
    label = msgspec.json.decode(msgspec.json.encode(example), type=Label)
    values = msgspec.to_builtins(
        msgspec.structs.replace(label, depth=3), builtin_types=(type(label.screened_at),)
    )
    if "null became" in said:
        values["depth"] = None
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(older), values)
    stream.seek(0)
    writer, reader = fastavro.parse_schema(older), fastavro.parse_schema(newer)
    if "timestamp" in said or "Labels" in said:
        return  # what fastavro reads all the same, and others need not
    with pytest.raises(Exception):  # noqa: B017, PT011 - fastavro documents none
        fastavro.schemaless_reader(stream, writer, reader)


def test_a_field_with_a_default_may_come_and_readers_of_before_pass_over_it() -> None:
    newer = changed(
        lambda s: s["fields"].append({"name": "why", "type": ["null", "string"], "default": None})
    )
    older = avro_schema(KIND_OF[Label])
    assert unreadable_avro(older, newer) == unreadable_avro(newer, older) == []
    without = changed(lambda s: s["fields"].pop(0))
    assert unreadable_avro(older, without) == []
    assert breaks_of_avro_promise(KIND_OF[Label], 4, older, without) == [
        "for older readers, $.id: has no default, and was not always there"
    ]


def test_every_event_can_be_examined_and_an_unknown_type_is_never_waved_through() -> None:
    for kind in KINDS:
        assert unreadable_avro(avro_schema(kind), avro_schema(kind)) == []
    strange = changed(lambda s: field(s, "task").update(type={"type": "fixed", "name": "F", "size": 4}))
    with pytest.raises(ValueError, match="does not know the Avro type"):
        unreadable_avro(strange, strange)


def test_generating_refuses_a_change_within_a_version(tmp_path: Path) -> None:
    for name in ("examples", "history", "json", "avro"):
        (tmp_path / name).mkdir()
    for path in (HISTORY.parent / "examples").glob("*.json"):
        (tmp_path / "examples" / path.name).write_bytes(path.read_bytes())
    generate(tmp_path)
    frozen = tmp_path / "history" / "v1" / "message.avsc"
    schema = json.loads(frozen.read_bytes())
    schema["doc"] = "Other words."
    frozen.write_text(json.dumps(schema))
    assert generate(tmp_path) == []  # words are no change, and what is frozen keeps its own
    assert json.loads(frozen.read_bytes())["doc"] == "Other words."
    schema["fields"].append({"name": "room", "type": "string"})
    frozen.write_text(json.dumps(schema))
    missing = [tmp_path / "json" / "message.schema.json", tmp_path / "history" / "v4" / "label.schema.json"]
    for path in missing:
        path.unlink()
    with pytest.raises(FrozenSchemaError, match="message as Avro is no longer what its version 1 was"):
        generate(tmp_path)
    assert not [path for path in missing if path.exists()]  # nothing is frozen beside what is refused


def test_a_default_that_avro_has_no_word_for_is_never_generated() -> None:
    class Odd(schemas.Message, frozen=True):
        floor: int | None = 3

    with pytest.raises(TypeError, match="floor may be null, and its default is not"):
        avro_schema(msgspec.structs.replace(KIND_OF[schemas.Message], event=Odd))
