"""Registers the schema of messages under its topic's subject, as `mimamori.messages-value`."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from schemas.avro import FRAMED, avro_schema
from schemas.generate import json_schema
from schemas.topics import topic_names
from worker.errors import RegistryError
from worker.registry.client import RegistryClient

Format = Literal["avro", "json"]


class State(msgspec.Struct, frozen=True):
    """How a subject is. `id` is None where the schema is not registered; `new` where it was just now."""

    subject: str
    id: int | None = None
    version: int | None = None
    new: bool = False


def register_schemas(client: RegistryClient, prefix: str, kind: Format, *, dry_run: bool) -> Iterator[State]:
    """Register what is missing, after the registry has been asked whether it fits. A dry run only asks.

    Raises RegistryError: the registry refuses a schema, with its words, or cannot be used.
    """
    names = topic_names(prefix)
    for event in FRAMED:
        subject = f"{names[event.event]}-value"
        schema = avro_schema(event) if kind == "avro" else json_schema(event)
        content, wire = msgspec.json.encode(schema), kind.upper()
        if (found := client.version(subject, content, wire)) is not None:
            yield State(subject, found.id, found.version)
            continue
        if (objection := client.objection(subject, content, wire)) is not None:
            raise _refused(client, subject, objection)
        if dry_run:
            yield State(subject)
            continue
        made = client.register(subject, content, wire)
        if isinstance(made, str):
            raise _refused(client, subject, made)
        yield State(subject, made, new=True)


def _refused(client: RegistryClient, subject: str, said: str) -> RegistryError:
    words = " ".join(said.split())[:500]
    return RegistryError(
        f"{client.place} refuses the schema for {subject}, and nothing was registered: {words}", refused=True
    )
