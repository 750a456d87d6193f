"""What clients rely on of a schema registry, on the one of tests/fakes; `make test-registry`: on Apicurio.

The producers and consumers here are Confluent's own serializers: the reference of the protocol.
"""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from typer.testing import CliRunner

from mimamori.cli import app
from schemas.events import Label, Message
from schemas.frozen import FrameFormat, frozen_schema
from schemas.kinds import KIND_OF
from tests.fakes.apicurio import registry_at_hand
from tests.fakes.framed_labels import LABEL
from worker.errors import RegistryError
from worker.registry.client import RegistryClient
from worker.registry.framing import LARGEST_ID, framed, schema_id_of
from worker.registry.label_reading import LabelReader
from worker.registry.label_writing import FramedLabels
from worker.registry.writers import reader_of
from worker.settings import Settings

SENT = datetime(2026, 11, 26, 18, 30, 0, 123_000, tzinfo=UTC)
PLATFORMS = {
    "type": "record",
    "name": "ChatLine",
    "namespace": "com.example.chat",
    "fields": [
        {"name": "room", "type": "string"},
        {"name": "line_id", "type": "string", "aliases": ["id"]},
        {"name": "body", "type": "string", "aliases": ["text"]},
        {"name": "author_id", "type": ["null", "string"], "default": None},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
        {
            "name": "sent_at",
            "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}],
            "default": None,
        },
    ],
}
LINE = {
    "room": "lobby",
    "line_id": "m7",
    "body": "see you at eight 🙂",
    "author_id": "u1",
    "tags": ["a", "b"],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with registry_at_hand() as url:
        yield url


@pytest.fixture(scope="module")
def theirs(url: str) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": url}) as client:
        yield client


@pytest.fixture
def ours(url: str) -> RegistryClient:
    return RegistryClient(Settings.model_validate({"schema_registry_url": url}))


@pytest.fixture
def topic() -> str:
    return f"{uuid.uuid4().hex[:8]}.messages"


def read(client: RegistryClient, value: bytes) -> Message:
    schema_id = schema_id_of(value)
    assert schema_id is not None
    registered = client.schema(schema_id)
    assert registered is not None
    return reader_of(schema_id, registered)(value)


def written(serializer: Any, topic: str, message: dict[str, Any]) -> bytes:
    value = serializer(message, SerializationContext(topic, MessageField.VALUE))
    assert isinstance(value, bytes)
    return value


def as_json(schema: object) -> str:
    return json.dumps(schema)


def test_what_confluents_avro_serializer_writes_is_read(
    ours: RegistryClient, theirs: SchemaRegistryClient, topic: str
) -> None:
    serializer = AvroSerializer(theirs, as_json(PLATFORMS))
    value = written(serializer, topic, LINE | {"sent_at": SENT})
    assert read(ours, value) == Message("m7", "see you at eight 🙂", author_id="u1", sent_at=SENT)
    assert read(ours, written(serializer, topic, LINE)).sent_at is None


def test_what_confluents_json_serializer_writes_is_read(
    ours: RegistryClient, theirs: SchemaRegistryClient, topic: str
) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Line",
        "type": "object",
        "properties": {"id": {"type": "string"}, "text": {"type": "string"}, "mood": {"type": "string"}},
        "required": ["id", "text"],
    }
    serializer = JSONSerializer(as_json(schema), theirs)
    value = written(serializer, topic, {"id": "m8", "text": "good night", "mood": "calm"})
    assert read(ours, value) == Message("m8", "good night")


def test_a_schema_that_refers_to_others_is_read(
    ours: RegistryClient, theirs: SchemaRegistryClient, topic: str
) -> None:
    mood = {"type": "enum", "name": "Mood", "namespace": "com.example", "symbols": ["calm", "loud"]}
    author = {
        "type": "record",
        "name": "Author",
        "namespace": "com.example",
        "fields": [{"name": "mood", "type": "com.example.Mood"}],
    }
    line = {
        "type": "record",
        "name": "Line",
        "namespace": "com.example",
        "fields": [
            {"name": "author", "type": "com.example.Author"},
            {"name": "id", "type": "string"},
            {"name": "text", "type": "string"},
        ],
    }
    to_mood = SchemaReference("com.example.Mood", f"{topic}-mood", 1)
    to_author = SchemaReference("com.example.Author", f"{topic}-author", 1)
    theirs.register_schema(to_mood.subject or "", Schema(as_json(mood), "AVRO"))
    theirs.register_schema(to_author.subject or "", Schema(as_json(author), "AVRO", [to_mood]))
    number = theirs.register_schema(f"{topic}-value", Schema(as_json(line), "AVRO", [to_author]))
    assert read(ours, framed(number, b"\x02" + b"\x04m9" + b"\x04hi")) == Message("m9", "hi")


def test_what_the_registry_has_not_is_unknown_and_another_address_is_none(
    ours: RegistryClient, url: str
) -> None:
    assert ours.schema(LARGEST_ID) is None  # above it the worker asks nothing
    assert "AVRO" in ours.formats()
    wrong = RegistryClient(Settings.model_validate({"schema_registry_url": f"{url}/elsewhere"}))
    with pytest.raises(RegistryError, match="its whole address") as failure:
        wrong.schema(1)
    assert failure.value.refused


@pytest.mark.parametrize("kind", ["avro", "json"])
def test_our_schema_is_registered_once_and_reference_producers_write_with_it(
    kind: str, ours: RegistryClient, theirs: SchemaRegistryClient, url: str, topic: str
) -> None:
    options = ["--url", url, "--prefix", topic.removesuffix("messages"), "--format", kind]
    dry = CliRunner().invoke(app, ["schemas", "register", "--dry-run", *options])
    assert dry.output == f"{topic}-value: would be registered\n"
    with pytest.raises(SchemaRegistryError):
        theirs.get_latest_version(f"{topic}-value")
    first = CliRunner().invoke(app, ["schemas", "register", *options])
    assert "registered, with id" in first.output
    again = CliRunner().invoke(app, ["schemas", "register", *options])
    assert f"{topic}-value: is there, as version 1 with id" in again.output
    latest = theirs.get_latest_version(f"{topic}-value")
    assert (latest.schema.schema_type, latest.version) == (kind.upper(), 1)
    conf = {"auto.register.schemas": False, "use.latest.version": True}
    text = latest.schema.schema_str or ""
    serializer = (
        AvroSerializer(theirs, text, conf=conf) if kind == "avro" else JSONSerializer(text, theirs, conf=conf)
    )
    message = {"id": "m1", "text": "hello", "author_id": "u1"}
    assert read(ours, written(serializer, topic, message)) == Message("m1", "hello", author_id="u1")


def test_a_schema_that_the_registry_finds_incompatible_is_refused_in_one_line(
    theirs: SchemaRegistryClient, url: str, topic: str
) -> None:
    old = {"type": "record", "name": "Message", "fields": [{"name": "id", "type": "int"}]}
    theirs.register_schema(f"{topic}-value", Schema(as_json(old), "AVRO"))
    options = ["--url", url, "--prefix", topic.removesuffix("messages")]
    for more in (["--dry-run"], []):
        refused = CliRunner().invoke(app, ["schemas", "register", *options, *more])
        assert refused.exit_code == 1
        said = str(refused.exception)
        assert f"refuses the schema for {topic}-value, and registered nothing there: " in said
        assert "\n" not in said
    assert theirs.get_latest_version(f"{topic}-value").version == 1


@pytest.mark.parametrize("form", ["avro", "json"])
def test_labels_are_written_with_the_id_that_the_registry_has_and_reference_consumers_read_them(
    form: FrameFormat,
    ours: RegistryClient,
    theirs: SchemaRegistryClient,
    url: str,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix, subject = topic.removesuffix("messages"), f"{topic.removesuffix('messages')}labels-value"
    given = {"schema_registry_url": url, "label_format": form, "topic_prefix": prefix}
    settings = Settings.model_validate(given)
    with pytest.raises(RegistryError, match=f"run `mimamori schemas register label --format {form}`"):
        FramedLabels.of(settings)
    monkeypatch.setenv("MIMAMORI_LABEL_FORMAT", form)  # what workers look for is what is registered
    done = CliRunner().invoke(
        app, ["schemas", "register", "message", "label", "--url", url, "--prefix", prefix]
    )
    assert f"\n{subject}: registered, with id " in done.output
    assert (
        theirs.get_latest_version(f"{topic}-value").schema.schema_type == "AVRO"
    )  # messages are others' to choose
    written_as = FramedLabels.of(settings)
    assert written_as is not None
    assert written_as.schema_id == theirs.get_latest_version(subject).schema_id
    value, place = written_as.encode(LABEL), SerializationContext(f"{prefix}labels", MessageField.VALUE)
    schema = as_json(frozen_schema(KIND_OF[Label], form))
    read: Any = (
        AvroDeserializer(theirs)
        if form == "avro"
        else JSONDeserializer(schema, schema_registry_client=theirs)
    )
    found = read(value, place)
    at = found.pop("screened_at")
    assert (at if form == "avro" else datetime.fromisoformat(at)) == LABEL.screened_at
    expected = msgspec.to_builtins(LABEL)
    del expected["screened_at"]
    if form == "avro":  # where JSON leaves out what is at its default, Avro has it
        expected["thresholds"] |= {"confidence": None, "prevalence": None}
    assert found == expected
    assert LabelReader(ours).read(value) == LABEL


def test_a_newer_schema_of_labels_is_registered_beside_the_older_one_whose_readers_go_on(
    ours: RegistryClient, theirs: SchemaRegistryClient, url: str, topic: str
) -> None:
    prefix, subject = topic.removesuffix("messages"), f"{topic.removesuffix('messages')}labels-value"
    older = frozen_schema(KIND_OF[Label], "avro")
    del older["fields"][-1]  # before labels had a depth
    theirs.register_schema(subject, Schema(as_json(older), "AVRO"))
    settings = Settings.model_validate(
        {"schema_registry_url": url, "label_format": "avro", "topic_prefix": prefix}
    )
    with pytest.raises(RegistryError, match="does not have it there"):  # not that version
        FramedLabels.of(settings)
    done = CliRunner().invoke(app, ["schemas", "register", "label", "--url", url, "--prefix", prefix])
    assert "registered, with id " in done.output
    written_as = FramedLabels.of(settings)
    assert written_as is not None
    value, place = written_as.encode(LABEL), SerializationContext(f"{prefix}labels", MessageField.VALUE)
    found: Any = AvroDeserializer(theirs, as_json(older))(value, place)
    assert found["id"] == LABEL.id
    assert "depth" not in found
    assert LabelReader(ours).read(value) == LABEL
