"""Registers the schemas of messages and labels, each under its topic's subject: `mimamori.messages-value`."""

import msgspec

from schemas.frozen import FrameFormat, frozen_schema
from schemas.kinds import Kind
from schemas.topics import topic_names
from worker.errors import RegistryError
from worker.registry.client import RegistryClient


class State(msgspec.Struct, frozen=True):
    """How a subject is. `id` is None where the schema is not registered; `new` where it was just now."""

    subject: str
    id: int | None = None
    version: int | None = None
    new: bool = False


def subject_of(prefix: str, kind: Kind) -> str:
    """The subject of a kind's topic, by Confluent's TopicNameStrategy, which is the default everywhere."""
    return f"{topic_names(prefix)[kind.event]}-value"


def register_schema(
    client: RegistryClient, prefix: str, kind: Kind, form: FrameFormat, *, dry_run: bool
) -> State:
    """Register a kind's schema unless it is there, once the registry finds that it fits. A dry run only asks.

    Raises RegistryError: the registry refuses the schema, with its words, or cannot be used.
    """
    subject = subject_of(prefix, kind)
    content, wire = msgspec.json.encode(frozen_schema(kind, form)), form.upper()
    if (found := client.version(subject, content, wire)) is not None:
        return State(subject, found.id, found.version)
    if (objection := client.objection(subject, content, wire)) is not None:
        raise _refused(client, subject, objection)
    if dry_run:
        return State(subject)
    made = client.register(subject, content, wire)
    if isinstance(made, str):
        raise _refused(client, subject, made)
    return State(subject, made, new=True)


def _refused(client: RegistryClient, subject: str, said: str) -> RegistryError:
    words = " ".join(said.split())[:500]
    return RegistryError(
        f"{client.place} refuses the schema for {subject}, and registered nothing there: {words}",
        refused=True,
    )
