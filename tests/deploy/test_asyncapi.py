"""The AsyncAPI document: valid by the official parser, and saying what the code says.

The parser comes from npm once, by the hashes in `asyncapi/package-lock.json`.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

import schemas
from schemas.events import Label
from schemas.headers import CONTENT_TYPES
from schemas.topics import TopicDefinition, load_topics
from tests.fakes.node import node_with

DRIVER = Path(__file__).with_name("asyncapi")
FOLDER = Path(schemas.__file__).parent
DOCUMENT: dict[str, Any] = msgspec.yaml.decode((FOLDER / "asyncapi.yaml").read_bytes())

Spoilt = tuple[str, str]  # what stands in the document, and what is put in its place
SPOILT: dict[Spoilt, str] = {
    ("action: send", "action: emit"): "action",
    ("address: mimamori.labels", "adress: mimamori.labels"): "adress",
    ("./json/label.schema.json", "./json/labels.schema.json"): "no such file",
    ("'#/components/messages/label'", "'#/components/messages/lable'"): "does not exist",
    ("partitions: 12", "partitions: many"): "integer",
}
EVENTS = [
    topic for topic in load_topics() if topic.event is not None
]  # internal topics promise nobody anything
# The binding has no place for these.
UNSPOKEN = {"min.insync.replicas", "segment.ms", "max.compaction.lag.ms"}
each_topic = pytest.mark.parametrize("topic", EVENTS, ids=lambda topic: topic.event)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[Spoilt | None, list[str]]:
    """The official parser's faults of the document (None), and of copies of it with one thing replaced.

    One process looks at all of them, since it takes two seconds to start.
    """
    node, folder = node_with(DRIVER)
    documents: dict[Spoilt | None, Path] = {None: FOLDER / "asyncapi.yaml"}
    for number, (old, new) in enumerate(SPOILT):
        copy = tmp_path_factory.mktemp("asyncapi") / str(number)
        documents[old, new] = shutil.copytree(FOLDER, copy) / "asyncapi.yaml"
        text = documents[old, new].read_text(encoding="utf-8")
        assert old in text
        documents[old, new].write_text(text.replace(old, new), encoding="utf-8")
    command = [node, str(folder / "validate.mjs"), *map(str, documents.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(zip(documents, map(msgspec.json.decode, done.stdout.splitlines()), strict=True))


def test_the_official_parser_finds_no_fault(faults: dict[Spoilt | None, list[str]]) -> None:
    assert faults[None] == []


@pytest.mark.parametrize(("spoilt", "fault"), SPOILT.items())
def test_the_official_parser_finds_what_is_wrong(
    faults: dict[Spoilt | None, list[str]], spoilt: Spoilt, fault: str
) -> None:
    assert fault in "\n".join(faults[spoilt])


def _channel(topic: TopicDefinition) -> dict[str, Any]:
    (channel,) = (c for c in DOCUMENT["channels"].values() if c["address"] == topic.name)
    return dict(channel)


def _message(topic: TopicDefinition) -> dict[str, Any]:
    return dict(DOCUMENT["components"]["messages"][next(iter(_channel(topic)["messages"]))])


@each_topic
def test_it_repeats_the_topic_definitions(topic: TopicDefinition) -> None:
    kafka = _channel(topic)["bindings"]["kafka"]
    written = {
        name: ",".join(value) if isinstance(value, list) else str(value)
        for name, value in kafka["topicConfiguration"].items()
    }
    assert written == {name: value for name, value in topic.config.items() if name not in UNSPOKEN}
    assert _channel(topic)["description"] == topic.description
    assert (kafka["topic"], kafka["partitions"], kafka["replicas"]) == (
        topic.name,
        topic.partitions,
        topic.replication_factor,
    )


@each_topic
def test_it_shows_a_tested_example_and_the_generated_schema(topic: TopicDefinition) -> None:
    message = _message(topic)
    examples = msgspec.json.decode((FOLDER / "examples" / f"{topic.event}.json").read_bytes())
    assert message["examples"]
    assert all(example in examples for example in message["examples"])
    assert message["payload"]["schema"]["$ref"] == f"./json/{topic.event}.schema.json"
    assert message["bindings"]["kafka"]["key"]["description"] == topic.key


@each_topic
def test_every_topic_is_sent_to_or_received_from(topic: TopicDefinition) -> None:
    (name,) = (name for name, channel in DOCUMENT["channels"].items() if channel["address"] == topic.name)
    used = [operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()]
    assert f"#/channels/{name}" in used


def test_it_names_the_headers_that_are_sent() -> None:
    label = msgspec.json.decode((FOLDER / "examples" / "label.json").read_bytes())[0]["payload"]
    event = schemas.decode(Label, msgspec.json.encode(label))
    trace = schemas.Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=x")
    headers = DOCUMENT["components"]["schemas"]["headers"]
    assert {name for name, _ in schemas.event_headers(event, trace.headers)} == set(headers["properties"])
    assert set(headers["required"]) == set(headers["properties"]) - {"traceparent", "tracestate"}
    framed = DOCUMENT["components"]["schemas"]["framedHeaders"]
    assert framed.keys() == headers.keys()
    assert set(framed["required"]) == set(headers["required"])
    types = {content_type.decode() for _, content_type in CONTENT_TYPES.values()}
    assert set(framed["properties"]["content-type"]["enum"]) == types
    for form, content_type in CONTENT_TYPES.items():
        for name, value in schemas.event_headers(event, trace.headers, content_type):
            assert isinstance(value, bytes)
            said = framed["properties"][name]
            allowed = said.get("enum") or said.get("examples") or [said.get("const")]
            assert allowed == [None] or value.decode() in allowed, (form, name)


def test_the_lock_names_no_registry() -> None:
    """Which registry serves the packages is for whoever installs them; the hashes hold everywhere."""
    lock = msgspec.json.decode((DRIVER / "package-lock.json").read_bytes())
    packages = [package for name, package in lock["packages"].items() if name]
    assert packages
    assert all("resolved" not in package and package["integrity"] for package in packages)
