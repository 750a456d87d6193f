"""Labels behind the frame of a schema registry, for platforms that read them with its deserializers.

The id of the schema is asked for once, before the first label is written, and is believed only if the
registry gives our own schema for it: what reads a label looks it up by that id. After that the registry is
not asked again, and its outage changes nothing. Nothing is registered here: `mimamori schemas register label`
does that, with rights that workers need not have.
"""

from collections.abc import Callable
from typing import Any, Final, Self

import msgspec

import schemas
from engine.errors import extra_for
from schemas.events import Label
from schemas.frozen import FrameFormat, frozen_schema
from schemas.headers import CONTENT_TYPES
from schemas.kinds import KIND_OF
from worker.errors import RegistryError
from worker.registry.client import Registered, RegistryClient
from worker.registry.framing import LARGEST_ID, framed
from worker.registry.subjects import subject_of
from worker.settings import Settings

_KIND: Final = KIND_OF[Label]


class FramedLabels:
    """Writes labels framed. `schema_id` is that of `frozen_schema`, in a registry."""

    def __init__(self, form: FrameFormat, schema_id: int) -> None:
        self.form = form
        self.schema_id = schema_id
        self.content_type = CONTENT_TYPES[form]
        self._frame = framed(schema_id, b"")
        self.encode: Callable[[Label], bytes] = self._json if form == "json" else self._avro()

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Those of the settings, with the id that the registry has; None where labels are plain JSON.

        Raises MissingExtraError. RegistryError: the registry cannot be asked, has no such schema, or has
        another one.
        """
        form = settings.label_format
        if form == "plain" or settings.shadow:  # shadow labels are always plain
            return None
        client, subject = RegistryClient(settings), subject_of(settings.topic_prefix, _KIND)
        try:
            return cls(form, _id_of(client, subject, form))
        except RegistryError as error:
            because = f"MIMAMORI_LABEL_FORMAT={form} needs the id of the schema of labels ({subject})"
            raise RegistryError(f"{because}: {error}", refused=error.refused) from None

    def _json(self, label: Label) -> bytes:
        return self._frame + schemas.encode(label)

    def _avro(self) -> Callable[[Label], bytes]:
        with extra_for("writing labels as Avro (MIMAMORI_LABEL_FORMAT)", "registry"):
            from worker.registry.avro_labels import avro_label_writer  # noqa: PLC0415 - an optional extra
        return avro_label_writer(frozen_schema(_KIND, "avro"), self._frame)


def _id_of(client: RegistryClient, subject: str, form: FrameFormat) -> int:
    schema = frozen_schema(_KIND, form)
    found = client.version(subject, msgspec.json.encode(schema), form.upper())
    if found is None:
        raise RegistryError(
            f"the schema registry {client.place} does not have it there: run `mimamori schemas register "
            f"label --format {form}`",
            refused=True,
        )
    if not 0 <= found.id <= LARGEST_ID:
        raise RegistryError(
            f"the schema registry {client.place} gives it the id {found.id}, and no schema has such an id",
            refused=True,
        )
    registered = client.schema(found.id)
    if registered is None or not _is_ours(registered, form, schema):
        has = "none" if registered is None else "another one"
        raise RegistryError(
            f"the schema registry {client.place} gives it the id {found.id}, and has {has} under that id: "
            "nobody could read the labels",
            refused=True,
        )
    return found.id


def _is_ours(registered: Registered, form: FrameFormat, schema: dict[str, Any]) -> bool:
    if registered.fault or registered.format != form.upper() or len(registered.documents) != 1:
        return False
    (document,) = registered.documents
    if form == "avro":
        from worker.registry.avro_labels import is_same_avro  # noqa: PLC0415 - an optional extra

        return is_same_avro(document, schema)
    try:
        return bool(msgspec.json.decode(document) == schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
