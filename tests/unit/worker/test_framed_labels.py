"""Labels behind a schema registry's frame: how they are written and read, and what stops a start."""

import ast
import io
import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
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
from mimamori.doctor import _registry
from schemas.avro import FRAMED, avro_schema
from schemas.events import DeadLetter, Label, Origin, ReviewCase, Severity, ShadowLabel, Thresholds
from schemas.frozen import FrameFormat, frozen_schema
from schemas.kinds import KIND_OF
from tests.fakes.memory_broker import MemoryBroker
from tests.fakes.schema_registry import FakeRegistry, schema_registry
from tests.fakes.worker_app import settings, wait_for
from tests.unit.worker.test_stream import CASES, DEAD, LABELS, drain, make_broker, message, send, start
from worker.errors import RecordError, RegistryError
from worker.registry import awaited, known
from worker.registry.client import Registered, RegistryClient
from worker.registry.framing import framed, schema_id_of
from worker.registry.label_reading import LabelReader
from worker.registry.label_writing import FramedLabels
from worker.registry.subjects import register_schemas
from worker.settings import Settings

KIND = KIND_OF[Label]
FORMS: tuple[FrameFormat, ...] = ("avro", "json")
NOW = datetime(2026, 11, 26, 18, 30, 0, 123_456, tzinfo=UTC)
LABEL = Label(
    "label:mimamori.messages:3:1042", "m-1002", Origin("mimamori.messages", 3, 1042), "stress", "at_risk",
    0.86, Severity("medium", {"low": 0.25, "medium": 0.5, "high": 0.25}), ["above_upper_threshold"],
    Thresholds(0.3, 0.7, "cal", 0.05), "pooled", "f" * 64, 1, False, True, NOW, "s1", 16,
)  # fmt: skip


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with schema_registry() as registry:
        yield registry


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "BACKOFF_S", (0.005, 0.02))
    monkeypatch.setattr(known, "DOUBT_FOR_S", 0.005)
    monkeypatch.setattr(known, "DOUBT_PAUSE_S", 0.002)


def worker_of(registry: FakeRegistry, form: str = "plain", **more: object) -> Settings:
    return settings(None, schema_registry_url=registry.url, label_format=form, **more)


def register(registry: FakeRegistry, form: FrameFormat) -> int:
    client = RegistryClient(worker_of(registry))
    (state,) = register_schemas(client, "mimamori.", [KIND], form, dry_run=False)
    assert (state.subject, state.new) == ("mimamori.labels-value", True)
    assert state.id is not None
    return state.id


def writer(form: FrameFormat, number: int = 7) -> Callable[[Label], bytes]:
    return FramedLabels(form, number).encode


def screened(broker: MemoryBroker) -> Counter[str]:
    """The messages behind all labels and dead letters of the broker."""
    reader = LabelReader(None)
    labels = [reader.read(as_json(record.value)) for record in broker.read(LABELS)]
    return Counter(label.message_id for label in labels)


def as_json(value: bytes | None) -> bytes:
    """A label in whatever form as plain JSON, without a line of the reader under test."""
    assert value is not None
    if value[5:6] == b"{":
        return value[5:]
    values: Any = fastavro.schemaless_reader(
        io.BytesIO(value[5:]), fastavro.parse_schema(frozen_schema(KIND, "avro")), None
    )
    return msgspec.json.encode(values)


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_written_behind_the_frame_and_nothing_else_is(
    registry: FakeRegistry, form: FrameFormat
) -> None:
    register(registry, "json" if form == "avro" else "avro")  # under another id
    registry.subjects.clear()
    number = register(registry, form)
    broker = make_broker()
    send(broker, *(message(n) for n in range(60)), b"{", None)
    drain_framed(broker, worker_of(registry, form))
    found = broker.read(LABELS)
    assert {schema_id_of(record.value) for record in found} == {number}
    assert screened(broker) == Counter(f"m{n}" for n in range(60))
    reader = LabelReader(RegistryClient(worker_of(registry)))
    labels = [reader.read(record.value) for record in found]
    assert [label.id for label in labels] == [schemas.label_id(label.origin) for label in labels]
    kinds = {dict(record.headers or [])["content-type"] for record in found}
    assert kinds == {f"application/vnd.mimamori.framed-{form}".encode()}
    letters = [schemas.decode(DeadLetter, record.value or b"") for record in broker.read(DEAD)]
    assert Counter(letter.reason for letter in letters) == {"invalid_json": 1, "null_value": 1}
    assert all(schemas.decode(ReviewCase, record.value or b"").id for record in broker.read(CASES))


def drain_framed(broker: MemoryBroker, config: Settings) -> None:
    worker = start(broker, config)
    try:
        wait_for(
            lambda: len(broker.read(LABELS)) + len(broker.read(DEAD)) >= len(broker.read("mimamori.messages"))
        )
    finally:
        worker.stop()
    if worker.error is not None:
        raise worker.error


@pytest.mark.parametrize("form", FORMS)
def test_the_registry_is_asked_before_the_first_label_and_never_again(
    registry: FakeRegistry, form: FrameFormat
) -> None:
    number = register(registry, form)
    registry.asked.clear()
    broker = make_broker()
    worker = start(broker, worker_of(registry, form))
    try:
        registry.status = 503  # from now on it is away
        send(broker, *(message(n) for n in range(80)))
        wait_for(lambda: len(broker.read(LABELS)) == 80)
    finally:
        worker.stop()
    assert worker.error is None
    assert registry.asked == ["/subjects/mimamori.labels-value", f"/schemas/ids/{number}"]


def test_without_the_setting_labels_are_plain_and_a_shadow_never_frames(registry: FakeRegistry) -> None:
    assert Settings.model_fields["label_format"].default == "plain"
    assert FramedLabels.of(worker_of(registry)) is None
    assert FramedLabels.of(worker_of(registry, "avro", shadow=True)) is None
    assert registry.asked == []
    broker = make_broker()
    send(broker, message(1))
    drain(broker, [start(broker, worker_of(registry))])
    (record,) = broker.read(LABELS)
    assert schemas.decode(Label, record.value or b"").message_id == "m1"
    assert dict(record.headers or [])["content-type"] == b"application/json"
    broker = make_broker()
    send(broker, message(1))
    worker = start(broker, worker_of(registry, "avro", shadow=True), name="shadow")
    names = schemas.topic_names()
    wait_for(lambda: len(broker.read(names[ShadowLabel])) == 1)
    worker.stop()
    (shadow,) = broker.read(names[ShadowLabel])
    assert schemas.decode(ShadowLabel, shadow.value or b"").message_id == "m1"


def test_the_setting_needs_a_registry() -> None:
    with pytest.raises(ValueError, match="MIMAMORI_LABEL_FORMAT=avro needs a MIMAMORI_SCHEMA_REGISTRY_URL"):
        settings(None, label_format="avro")


OTHER = {
    "type": "record",
    "name": "Label",
    "namespace": "mimamori",
    "fields": [{"name": "id", "type": "string"}],
}


def as_found(number: object, **more: object) -> tuple[int, dict[str, object]]:
    return 200, {"subject": "mimamori.labels-value", "version": 1, "id": number, **more}


HOSTILE: dict[str, tuple[Any, Any, str]] = {
    # what is answered to: has the subject our schema? · which schema has this id? · what is said
    "not registered": (
        None,
        None,
        "does not have it there: run `mimamori schemas register label --format avro`",
    ),
    "a page": ((200, b"<html>sign in</html>"), None, "does not answer as a schema registry does"),
    "no id": ((200, {"version": 1}), None, "does not answer as a schema registry does"),
    "an id that is a word": (as_found("seven"), None, "does not answer as a schema registry does"),
    "an id below zero": (as_found(-1), None, "gives it the id -1, and no schema has such an id"),
    "an id beyond four bytes": (as_found(2**40), None, "no schema has such an id"),
    "an id beyond the protocol's": (as_found(2**31), None, "no schema has such an id"),
    "a redirect": ((302, {}), None, "answers 302, which no registry does there"),
    "another 404": ((404, b"<html>"), None, "its whole address"),
    "not let in": ((401, {"error_code": 401}), None, "answers 401: MIMAMORI_SCHEMA_REGISTRY_USER"),
    "forbidden": ((403, {"error_code": 403}), None, "answers 403: MIMAMORI_SCHEMA_REGISTRY_USER"),
    "away": ((503, {}), None, "answers 503"),
    "nothing under that id": (as_found(99), (404, {"error_code": 40403}), "has none under that id"),
    "another schema": (as_found(99), (200, {"schema": json.dumps(OTHER)}), "has another one under that id"),
    "another format": (
        as_found(99),
        (200, {"schema": json.dumps(frozen_schema(KIND, "avro")), "schemaType": "JSON"}),
        "has another one under that id",
    ),
    "no schema at all": (as_found(99), (200, {"schema": "["}), "has another one under that id"),
    "a schema without end": (as_found(99), (200, {"schema": "[" * 50_000}), "has another one under that id"),
    "one that refers to others": (
        as_found(99),
        (
            200,
            {
                "schema": json.dumps(frozen_schema(KIND, "avro")),
                "references": [{"subject": "x", "version": 1}],
            },
        ),
        "has another one under that id",
    ),
    "a page for the schema": (as_found(99), (200, b"<html>"), "does not answer as a schema registry does"),
    "not let in to the schema": (as_found(99), (401, {}), "answers 401"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_registry_that_cannot_be_believed_stops_the_start_with_one_line(
    registry: FakeRegistry, case: str
) -> None:
    subject, by_id, said = HOSTILE[case]

    def lie(path: str) -> Any:
        return by_id if path.startswith("/schemas/ids/") else subject if "-value" in path else None

    registry.lie = lie
    with pytest.raises(RegistryError) as refusal:
        FramedLabels.of(worker_of(registry, "avro"))
    line = str(refusal.value)
    assert said in line
    assert line.startswith(
        "MIMAMORI_LABEL_FORMAT=avro needs the id of the schema of labels (mimamori.labels-value): "
    )
    assert registry.url in line
    assert "\n" not in line
    assert refusal.value.refused == (case != "away")
    with pytest.raises(RegistryError):
        start(make_broker(), worker_of(registry, "avro"))
    assert _registry(worker_of(registry, "avro")).state == "wrong"


def test_a_registry_that_is_not_there_stops_the_start() -> None:
    nowhere = settings(None, schema_registry_url="http://127.0.0.1:9", label_format="json")
    with pytest.raises(RegistryError, match="cannot be reached"):
        FramedLabels.of(nowhere)


@pytest.mark.parametrize("form", FORMS)
def test_a_registry_may_write_our_schema_in_its_own_way(registry: FakeRegistry, form: FrameFormat) -> None:
    """The order of names and, in Avro, its words are its own; doctor names the id."""
    number = register(registry, form)
    theirs = frozen_schema(KIND, form)
    if form == "avro":
        theirs["doc"] = "another word"
    registry.schemas[number]["schema"] = json.dumps(theirs, sort_keys=True, indent=3)
    registry.lie = lambda path: as_found(number) if "-value" in path else None
    found = FramedLabels.of(worker_of(registry, form))
    assert found is not None
    assert found.schema_id == number
    finding = _registry(worker_of(registry, form))
    assert finding.state == "well"
    assert finding.detail.endswith(f"labels are written as {form}, with schema {number}")


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema["fields"].reverse(),
        lambda schema: schema["fields"].pop(),
        lambda schema: schema["fields"][5].update(type="float"),
        lambda schema: schema["fields"][-1].pop("default"),
        lambda schema: schema["fields"][14]["type"].pop("logicalType"),
        lambda schema: schema.update(name="Labels"),
    ],
    ids=["order", "fewer", "float", "default", "logical", "name"],
)
def test_whatever_differs_in_meaning_is_another_schema(
    registry: FakeRegistry, change: Callable[[dict[str, Any]], object]
) -> None:
    number = register(registry, "avro")
    theirs = frozen_schema(KIND, "avro")
    change(theirs)
    registry.schemas[number]["schema"] = json.dumps(theirs)
    registry.lie = lambda path: as_found(number) if "-value" in path else None
    with pytest.raises(RegistryError, match="has another one under that id"):
        FramedLabels.of(worker_of(registry, "avro"))


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
        reader = LabelReader(RegistryClient(worker_of(registry)))
        assert reader._known is not None
        reader._known._longest_s = longest_s
        with pytest.raises(RegistryError, match=f"answers {status}"):
            reader.read(value)


def test_a_command_waits_for_a_registry_that_comes_back(registry: FakeRegistry) -> None:
    number = register(registry, "avro")
    answers: Iterator[Any] = iter([(503, {}), (503, {})])
    registry.lie = lambda _path: next(answers, None)
    reader = LabelReader(RegistryClient(worker_of(registry)))
    assert reader.read(writer("avro", number)(LABEL)) == LABEL


def test_a_lone_surrogate_is_refused_as_in_json_without_its_text() -> None:
    label = msgspec.structs.replace(LABEL, message_id=SECRET + "\ud800")
    for form in FORMS:
        with pytest.raises(schemas.InvalidUtf8) as refusal:
            writer(form)(label)
        assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_the_schema_of_a_version_never_changes_and_is_that_of_the_struct() -> None:
    """It is frozen, words included, so that no upgrade within a version needs another id."""
    folder = Path(schemas.__file__).parent
    for kind in FRAMED:
        assert frozen_schema(kind, "avro") == msgspec.json.decode(
            (folder / "history" / f"v{kind.version}" / f"{kind.name}.avsc").read_bytes()
        )
        current = fastavro.parse_schema(avro_schema(kind))
        assert fastavro.schema.fingerprint(
            fastavro.schema.to_parsing_canonical_form(current), "sha256"
        ) == fastavro.schema.fingerprint(
            fastavro.schema.to_parsing_canonical_form(fastavro.parse_schema(frozen_schema(kind, "avro"))),
            "sha256",
        )


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
