"""`mimamori schemas register`: puts the schemas of messages and labels into the schema registry."""

from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console

from engine.errors import SettingsError
from schemas.avro import FRAMED
from schemas.frozen import FrameFormat
from schemas.kinds import Kind
from worker.registry.client import RegistryClient
from worker.registry.subjects import State, register_schema
from worker.settings import Settings
from worker.settings_source import load_settings

schemas = typer.Typer(
    name="schemas", help="Register schemas of messages and labels in a schema registry.", no_args_is_help=True
)

Url = Annotated[
    str | None, typer.Option("--url", help="The registry's address [MIMAMORI_SCHEMA_REGISTRY_URL].")
]
Prefix = Annotated[str | None, typer.Option(help="Prefix of the topics' names [MIMAMORI_TOPIC_PREFIX].")]


class Event(StrEnum):
    """What has a schema of ours in a registry."""

    message = "message"
    label = "label"


_MESSAGE: Final = [Event.message]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(schemas, rich_help_panel="Operate")


@schemas.command("register")
def register_command(
    events: Annotated[
        list[Event], typer.Argument(help="Of what: message, label, or both.", show_default="message")
    ] = _MESSAGE,
    url: Url = None,
    prefix: Prefix = None,
    form: Annotated[
        FrameFormat | None,
        typer.Option(
            "--format",
            help="As which schema: avro, or json. Default: avro; of labels, MIMAMORI_LABEL_FORMAT.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be registered, and register nothing.")
    ] = False,
) -> None:
    """Register the schema of messages, of labels, or both, unless the registry has it.

    A registry that finds it incompatible with the version it has refuses it, and keeps what it has. Workers
    with MIMAMORI_LABEL_FORMAT need that of labels, in the same format.
    """
    given = {"schema_registry_url": url, "topic_prefix": prefix}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    if not settings.schema_registry_url:
        raise SettingsError("no schema registry is named: give --url, or set MIMAMORI_SCHEMA_REGISTRY_URL")
    client = RegistryClient(settings)
    kinds = [kind for kind in FRAMED if kind.name in events]
    for kind in kinds:
        form_of_it = form or _form_of(kind, settings)
        state = register_schema(client, settings.topic_prefix, kind, form_of_it, dry_run=dry_run)
        Console().print(f"{state.subject}: {_said(state)}", soft_wrap=True, markup=False, highlight=False)


def _form_of(kind: Kind, settings: Settings) -> FrameFormat:
    """What workers of these settings look for, so that nothing else is registered by mistake."""
    written = settings.label_format
    return "avro" if kind.name != Event.label or written == "plain" else written


def _said(state: State) -> str:
    if state.id is None:
        return "would be registered"
    if state.new:
        return f"registered, with id {state.id}"
    return f"is there, as version {state.version} with id {state.id}"
