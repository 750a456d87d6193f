"""Labels are read in every form that their topic may hold, and what is none is counted."""

import ast
import io
import json
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from engine.errors import SettingsError
from schemas.events import Label, Origin, Severity, Thresholds
from schemas.frozen import FrameFormat, frozen_schema
from tests.fakes.framed_labels import FORMS, KIND, LABEL, label_settings, register, writer
from tests.fakes.schema_registry import FakeRegistry
from worker.errors import RecordError, RegistryError
from worker.registry import awaited
from worker.registry.client import Registered, RegistryClient
from worker.registry.framing import framed
from worker.registry.label_reading import LabelReader

pytestmark = pytest.mark.usefixtures("impatient")

texts = st.text(min_size=1, max_size=256)
shares = st.floats(0, 1)
labels = st.builds(
    Label,
    id=texts,
    message_id=texts,
    origin=st.builds(Origin, texts, st.integers(0, 2**31), st.integers(0, 2**62)),
    risk=shares,
    severity=st.none() | st.builds(Severity, texts, st.dictionaries(texts, shares, max_size=5)),
    thresholds=st.builds(
        Thresholds, shares, shares, texts, st.none() | shares, st.none() | shares, st.none() | shares
    ),
    windows=st.integers(0, 1000),
    screened_at=st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - they get one
    depth=st.none() | st.integers(1, 100),
)


@given(labels, st.sampled_from(FORMS))
def test_every_label_is_read_as_it_was_written(label: Label, form: FrameFormat) -> None:
    assert READER.read(writer(form)(label)) == label


class OneSchema:
    """A registry of one schema."""

    def __init__(self, schema: object, kind: str = "AVRO") -> None:
        self.schema_text, self.kind, self.asked = json.dumps(schema).encode(), kind, 0

    def schema(self, schema_id: int) -> Any:
        self.asked += 1
        return Registered(self.kind, (self.schema_text,)) if schema_id == 7 else None


READER = LabelReader(OneSchema(frozen_schema(KIND, "avro")))


def test_plain_and_framed_labels_lie_side_by_side_and_a_schema_is_asked_for_once() -> None:
    registry = OneSchema(frozen_schema(KIND, "avro"))
    reader = LabelReader(registry)
    values = [schemas.encode(LABEL), writer("json")(LABEL), writer("avro")(LABEL)]
    assert [reader.read(value) for value in values * 3] == [LABEL] * 9
    assert registry.asked == 1


def test_json_needs_no_registry_and_avro_without_one_is_named_not_passed_over() -> None:
    reader = LabelReader()
    assert reader.read(schemas.encode(LABEL)) == reader.read(writer("json", 2**31 - 1)(LABEL)) == LABEL
    with pytest.raises(
        SettingsError, match="in Avro, framed for a schema registry: set MIMAMORI_SCHEMA_REGISTRY_URL"
    ):
        reader.read(writer("avro")(LABEL))


def avro_of(schema: dict[str, Any], values: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(json.dumps(schema))), values)
    return framed(7, stream.getvalue())


def as_values(label: Label) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(label, builtin_types=(datetime,))
    return made


def test_labels_of_an_older_and_of_a_newer_version_are_read_by_avros_rules() -> None:
    older = frozen_schema(KIND, "avro")
    older["fields"] = older["fields"][:-1]  # before there was a depth
    found = LabelReader(OneSchema(older)).read(avro_of(older, as_values(LABEL)))
    assert found == msgspec.structs.replace(LABEL, depth=None)
    newer = frozen_schema(KIND, "avro")
    newer["fields"].insert(2, {"name": "notes", "type": {"type": "array", "items": "string"}, "default": []})
    value = avro_of(newer, {**as_values(LABEL), "notes": ["a", "b"]})
    assert LabelReader(OneSchema(newer)).read(value) == LABEL


SECRET = "nobody else may read this"  # noqa: S105 - to be looked for
NO_LABELS: dict[str, tuple[Any, bytes | None]] = {
    "nothing": (None, None),
    "empty": (None, b""),
    "cut in the frame": (None, b"\x00\x00\x00"),
    "the frame alone": (None, framed(7, b"")),
    "JSON of something else": (None, framed(7, json.dumps({"id": SECRET}).encode())),
    "JSON that is cut": (None, writer("json")(LABEL)[:-4]),
    "Avro that is cut": (None, writer("avro")(LABEL)[:-4]),
    "bytes behind it": (None, writer("avro")(LABEL) + SECRET.encode()),
    "an unknown schema": (None, writer("avro", 8)(LABEL)),
    "an id that none has": (
        None,
        writer("avro", 7)(LABEL)[:1] + b"\xff\xff\xff\xff" + writer("avro")(LABEL)[5:],
    ),
    "a schema of another record": (
        {"type": "record", "name": "M", "fields": [{"name": "id", "type": "string"}]},
        framed(7, b"\x02a"),
    ),
    "a schema of no use": ({"type": "record", "name": "M", "fields": []}, writer("avro")(LABEL)),
    "a schema that is none": ("nothing", writer("avro")(LABEL)),
}


@pytest.mark.parametrize("case", NO_LABELS)
def test_what_is_no_label_is_a_record_to_be_counted_and_its_text_is_nowhere(case: str) -> None:
    schema, value = NO_LABELS[case]
    reader = LabelReader(OneSchema(schema or frozen_schema(KIND, "avro")))
    with pytest.raises(RecordError) as refusal:
        reader.read(value)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_a_schema_in_another_format_is_no_label() -> None:
    reader = LabelReader(OneSchema({"type": "object"}, "JSON"))
    with pytest.raises(RecordError, match="schema 7 of the registry is not AVRO"):
        reader.read(writer("avro")(LABEL))


def test_a_registry_that_goes_away_stops_a_reader_and_one_that_refuses_it_at_once(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaited, "_AT_ONCE_S", 0.01)
    number = register(registry, "avro")
    value = writer("avro", number)(LABEL)
    for status, longest_s in ((503, 0.0), (401, 600.0)):
        registry.status = status
        reader = LabelReader(RegistryClient(label_settings(registry)))
        assert reader._known is not None
        reader._known._longest_s = longest_s
        with pytest.raises(RegistryError, match=f"answers {status}"):
            reader.read(value)


def test_a_command_waits_for_a_registry_that_comes_back(registry: FakeRegistry) -> None:
    number = register(registry, "avro")
    answers: Iterator[Any] = iter([(503, {}), (503, {})])
    registry.lie = lambda _path: next(answers, None)
    reader = LabelReader(RegistryClient(label_settings(registry)))
    assert reader.read(writer("avro", number)(LABEL)) == LABEL


DECODERS = {
    "worker/registry/label_reading.py",
    "worker/registry/avro_labels.py",  # which the first one calls
    "mimamori/demo/stage.py",  # of a worker that it starts itself, without this process's settings
}


def test_nobody_else_decodes_labels() -> None:
    """Whoever reads a labels topic in another way would pass over framed ones."""
    root = Path(schemas.__file__).parents[1]
    found = set()
    for package in ("export", "front", "mimamori", "review", "worker"):
        for path in (root / package).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_bytes())):
                given = (
                    [*call.args[:1], *(each.value for each in call.keywords)]
                    if isinstance(call, ast.Call)
                    else []
                )
                if any(isinstance(each, ast.Name) and each.id == "Label" for each in given):
                    found.add(path.relative_to(root).as_posix())
    assert found == DECODERS
