"""Labels behind a schema registry's frame: how a worker writes them, and when it asks for their id."""

import io
import json
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest

import schemas
from schemas import frozen
from schemas.avro import FRAMED, avro_schema
from schemas.events import DeadLetter, Label, ReviewCase, ShadowLabel
from schemas.frozen import FrameFormat, frozen_schema
from tests.fakes.framed_labels import FORMS, KIND, LABEL, label_settings, register, writer
from tests.fakes.memory_broker import MemoryBroker
from tests.fakes.schema_registry import FakeRegistry
from tests.fakes.worker_app import wait_for
from tests.unit.worker.test_stream import CASES, DEAD, LABELS, drain, make_broker, message, send, start
from worker.registry.client import RegistryClient
from worker.registry.framing import schema_id_of
from worker.registry.label_reading import LabelReader
from worker.registry.label_writing import FramedLabels
from worker.settings import Settings

SECRET = "nobody else may read this"  # noqa: S105 - to be looked for


def screened(broker: MemoryBroker) -> Counter[str]:
    """The messages behind all labels of the broker."""
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
    drain_framed(broker, label_settings(registry, form))
    found = broker.read(LABELS)
    assert {schema_id_of(record.value) for record in found} == {number}
    assert screened(broker) == Counter(f"m{n}" for n in range(60))
    reader = LabelReader(RegistryClient(label_settings(registry)))
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
    worker = start(broker, label_settings(registry, form))
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
    assert FramedLabels.of(label_settings(registry)) is None
    assert FramedLabels.of(label_settings(registry, "avro", shadow=True)) is None
    assert registry.asked == []
    broker = make_broker()
    send(broker, message(1))
    drain(broker, [start(broker, label_settings(registry))])
    (record,) = broker.read(LABELS)
    assert schemas.decode(Label, record.value or b"").message_id == "m1"
    assert dict(record.headers or [])["content-type"] == b"application/json"
    broker = make_broker()
    send(broker, message(1))
    worker = start(broker, label_settings(registry, "avro", shadow=True), name="shadow")
    names = schemas.topic_names()
    try:
        wait_for(lambda: len(broker.read(names[ShadowLabel])) == 1)
    finally:
        worker.stop()
    (shadow,) = broker.read(names[ShadowLabel])
    assert schemas.decode(ShadowLabel, shadow.value or b"").message_id == "m1"


def test_a_lone_surrogate_is_refused_as_in_json_without_its_text() -> None:
    label = msgspec.structs.replace(LABEL, message_id=SECRET + "\ud800")
    for form in FORMS:
        with pytest.raises(schemas.InvalidUtf8) as refusal:
            writer(form)(label)
        assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_a_registry_gets_the_words_of_the_day_that_a_version_was_frozen(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Today's would be another schema to a registry, and a corrected sentence would stop every worker."""
    of_today = {form: frozen_schema(KIND, form) for form in FORMS}
    monkeypatch.setattr(frozen, "_HISTORY", tmp_path)
    suffixes: dict[FrameFormat, str] = {"avro": "avsc", "json": "schema.json"}
    for form, suffix in suffixes.items():
        made = {**of_today[form], "doc" if form == "avro" else "description": "What it said then."}
        (tmp_path / f"v{KIND.version}").mkdir(exist_ok=True)
        (tmp_path / f"v{KIND.version}" / f"label.{suffix}").write_bytes(msgspec.json.encode(made))
        registry.subjects.clear()
        number = register(registry, form)
        assert json.loads(registry.schemas[number]["schema"]) == made
        found = FramedLabels.of(label_settings(registry, form))
        assert found is not None
        assert found.schema_id == number


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
