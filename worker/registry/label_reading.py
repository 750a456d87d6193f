"""Reads labels as a labels topic may hold them: plain JSON, and framed as JSON or as Avro, side by side.

Every command of ours that reads labels reads them here. Plain and framed JSON need no registry, since a label
in JSON names its fields. One in Avro is read with the schema that it was written with, which the registry of
the settings has. Where there is none, or it does not answer, reading stops: a label that was passed over
would be a message that nobody counts.
"""

from collections.abc import Callable
from typing import Final, Self

import schemas
from engine.errors import SettingsError
from schemas.events import Label
from worker.errors import RecordError
from worker.registry.avro_schema import UnusableSchemaError
from worker.registry.awaited import Awaited
from worker.registry.client import Registered, RegistryClient
from worker.registry.framing import LENGTH, schema_id_of
from worker.registry.known import Registry, SchemasOf
from worker.registry.writers import FORMATS, refusing, require_avro
from worker.settings import Settings
from worker.telemetry.metrics import Metrics

# What JSON of an object begins with, and Avro of a label never does: read as the length of its id, it is -62.
_OBJECT: Final = b"{"


class LabelReader:
    """Reads the values of a labels topic. Used by one thread."""

    def __init__(self, registry: Registry | None = None) -> None:
        """`registry` is asked for the schemas of labels in Avro; None where there is none."""
        self._known: Awaited[Label] | None = None
        if registry is not None:
            self._known = Awaited(SchemasOf(registry, Metrics(), _reader_of))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The reader that asks the registry of the settings, if there is one. Raises MissingExtraError."""
        if not settings.schema_registry_url:
            return cls()
        require_avro()
        return cls(RegistryClient(settings))

    def read(self, value: bytes | None) -> Label:
        """Read one value. Raises RecordError: it is no label.

        SettingsError: it is in Avro, and no registry is known. RegistryError: the registry does not answer.
        """
        if schema_id_of(value) is None or value is None:
            return _from_json(value or b"")
        if value[LENGTH : LENGTH + 1] == _OBJECT:
            return _from_json(value[LENGTH:])
        if self._known is None:
            raise SettingsError(
                "the topic holds labels in Avro, framed for a schema registry: set "
                "MIMAMORI_SCHEMA_REGISTRY_URL to read them"
            )
        return self._known.read(value)


def _from_json(content: bytes) -> Label:
    try:
        return schemas.decode(Label, content)
    except schemas.CodecError as error:
        fault = RecordError(error.reason, error.detail)
    raise fault


def _reader_of(schema_id: int, registered: Registered) -> Callable[[bytes], Label]:
    from worker.registry.avro_labels import avro_label_reader  # noqa: PLC0415 - an optional extra

    if registered.fault:
        return refusing(schema_id, registered.fault)
    if registered.format != FORMATS[0]:
        return refusing(schema_id, "is not AVRO")
    try:
        return avro_label_reader(registered.documents)
    except UnusableSchemaError as error:
        return refusing(schema_id, str(error))
