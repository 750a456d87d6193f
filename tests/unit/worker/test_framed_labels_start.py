"""What a registry must answer before a worker writes framed labels: anything else stops its start."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mimamori.doctor import _registry
from schemas.frozen import FrameFormat, frozen_schema
from tests.fakes.framed_labels import FORMS, KIND, label_settings, register
from tests.fakes.schema_registry import FakeRegistry
from tests.fakes.worker_app import settings
from tests.unit.worker.test_stream import make_broker, start
from worker.errors import RegistryError
from worker.registry.label_writing import FramedLabels


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
        FramedLabels.of(label_settings(registry, "avro"))
    line = str(refusal.value)
    assert said in line
    assert line.startswith(
        "MIMAMORI_LABEL_FORMAT=avro needs the id of the schema of labels (mimamori.labels-value): "
    )
    assert registry.url in line
    assert "\n" not in line
    assert refusal.value.refused == (case != "away")
    with pytest.raises(RegistryError):
        start(make_broker(), label_settings(registry, "avro"))
    assert _registry(label_settings(registry, "avro")).state == "wrong"


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
    found = FramedLabels.of(label_settings(registry, form))
    assert found is not None
    assert found.schema_id == number
    finding = _registry(label_settings(registry, form))
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
        FramedLabels.of(label_settings(registry, "avro"))


def test_our_schema_beside_one_that_it_refers_to_is_another_schema(registry: FakeRegistry) -> None:
    number = register(registry, "avro")
    registry.subjects["beside"] = [registry.add(OTHER | {"name": "Beside"})]
    registry.schemas[number]["references"] = [{"name": "Beside", "subject": "beside", "version": 1}]
    registry.lie = lambda path: as_found(number) if "labels-value" in path else None
    with pytest.raises(RegistryError, match="has another one under that id"):
        FramedLabels.of(label_settings(registry, "avro"))
