"""Messages in Avro behind a registry's frame, and the settings of a worker that reads them."""

import io

import fastavro

from schemas.avro import avro_schema
from schemas.kinds import KINDS
from tests.fakes.schema_registry import FakeRegistry
from tests.fakes.worker_app import settings
from worker.registry.framing import framed
from worker.settings import Settings

OURS = fastavro.parse_schema(avro_schema(KINDS[0]))


def avro(schema_id: int, number: int, text: str = "a quiet evening at home") -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, OURS, {"id": f"m{number}", "text": f"{text} {number}"})
    return framed(schema_id, stream.getvalue())


def registry_settings(registry: FakeRegistry, **more: object) -> Settings:
    return settings(None, schema_registry_url=registry.url, **more)
