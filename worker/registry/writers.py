"""A registered schema becomes a way of reading the messages that were written with it."""

from collections.abc import Callable
from typing import Final, NoReturn

import schemas
from engine.errors import extra_for
from schemas.events import Message
from worker.errors import RecordError
from worker.registry.avro_schema import UnusableSchemaError
from worker.registry.client import Registered
from worker.registry.framing import LENGTH

Read = Callable[[bytes], Message]  # reads a framed value; raises RecordError

FORMATS: Final = ("AVRO", "JSON")


def require_avro() -> None:
    """Raise MissingExtraError where Avro cannot be read: at the start, and not at the first message."""
    with extra_for("reading messages of MIMAMORI_SCHEMA_REGISTRY_URL", "registry"):
        import worker.registry.avro  # noqa: F401, PLC0415 - an optional extra


def reader_of(schema_id: int, registered: Registered) -> Read:
    """The way of reading; one that refuses every message where the schema cannot be used."""
    if registered.fault:
        return refusing(schema_id, registered.fault)
    if registered.format == "JSON":
        return _read_json
    if registered.format != "AVRO":
        return refusing(schema_id, f"is neither {' nor '.join(FORMATS)}")
    from worker.registry.avro import avro_reader  # noqa: PLC0415 - as above

    try:
        return avro_reader(registered.documents)
    except UnusableSchemaError as error:
        return refusing(schema_id, str(error))


def refusing(schema_id: int, why: str) -> Callable[[bytes], NoReturn]:
    """A way of reading that gives each message a dead letter: `why` follows the words `schema 7`."""

    def read(value: bytes) -> NoReturn:
        del value
        raise RecordError("schema_mismatch", f"schema {schema_id} of the registry {why}")

    return read


def _read_json(value: bytes) -> Message:
    try:
        return schemas.decode(Message, value[LENGTH:])
    except schemas.CodecError as error:
        fault = RecordError(error.reason, error.detail)
    raise fault
