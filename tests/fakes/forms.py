"""Events in every form that their topics may hold: plain JSON, and framed as JSON and as Avro, by turns."""

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import fastavro
import msgspec
import pytest

import schemas
from schemas.avro import FRAMED, avro_schema
from schemas.events import Event
from schemas.kinds import KIND_OF
from tests.fakes.schema_registry import FakeRegistry, schema_registry
from worker.registry.framing import framed

Encode = Callable[[Event], bytes]


@contextmanager
def every_form(monkeypatch: pytest.MonkeyPatch) -> Iterator[Encode]:
    """Encodes messages and labels by turns in each form; commands ask a registry that has the schemas."""
    with schema_registry() as registry:
        monkeypatch.setenv("MIMAMORI_SCHEMA_REGISTRY_URL", registry.url)
        yield forms_of(registry)


def forms_of(registry: FakeRegistry) -> Encode:
    """Encodes by turns in each form, with schemas that the registry gets."""
    of_json = registry.add({"type": "object"}, "JSON")
    of_avro = {kind.event: registry.add(avro_schema(kind)) for kind in FRAMED}
    parsed = {kind.event: fastavro.parse_schema(avro_schema(kind)) for kind in FRAMED}
    turns = itertools.cycle(("plain", "json", "avro"))

    def encode(event: Event) -> bytes:
        plain = schemas.encode(event)
        if KIND_OF[type(event)] not in FRAMED or (turn := next(turns)) == "plain":
            return plain
        if turn == "json":
            return framed(of_json, plain)
        stream = io.BytesIO()
        values = msgspec.to_builtins(event, builtin_types=(datetime,))
        fastavro.schemaless_writer(stream, parsed[type(event)], values)
        return framed(of_avro[type(event)], stream.getvalue())

    return encode
