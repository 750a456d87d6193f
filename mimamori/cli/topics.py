"""`mimamori topics apply|list|acls`: creates the topics, compares them, and prints who needs which right."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mimamori.cli.acls import acls
from schemas.topics import TopicDefinition, load_topics
from worker.kafka.topics import TopicState, apply_topics, read_topics
from worker.settings_source import load_settings

topics = typer.Typer(
    name="topics",
    help="Create the Kafka topics, or compare them with their definitions.",
    no_args_is_help=True,
)

Bootstrap = Annotated[str | None, typer.Option(help="Kafka brokers, host:port [MIMAMORI_BOOTSTRAP].")]
Prefix = Annotated[str | None, typer.Option(help="Prefix of the topics' names [MIMAMORI_TOPIC_PREFIX].")]
Replication = Annotated[
    int | None,
    typer.Option(
        "--replication-factor", min=1, help="Replicas of each topic, in place of 3; use 1 with one broker."
    ),
]
Partitions = Annotated[
    int | None,
    typer.Option("--partitions-override", min=1, help="Partitions of each topic, in place of 12."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    topics.command("acls")(acls)
    app.add_typer(topics, rich_help_panel="Operate")


@topics.command("apply")
def apply_command(
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    replication_factor: Replication = None,
    partitions: Partitions = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be created, and create nothing.")
    ] = False,
) -> None:
    """Create the missing topics, and show where existing ones differ. It never changes or deletes a topic."""
    config, definitions = _wanted(bootstrap, prefix, partitions, replication_factor)
    states = apply_topics(config, definitions, dry_run=dry_run)
    _show(states)
    made = sum(state.created for state in states)
    missing = sum(state.partitions is None for state in states)
    Console().print(f"{missing} would be created" if dry_run else f"{made} created, {len(states)} present")


@topics.command("list")
def list_command(
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    replication_factor: Replication = None,
    partitions: Partitions = None,
) -> None:
    """Show each topic's definition, and how the topic on the broker differs from it."""
    _show(read_topics(*_wanted(bootstrap, prefix, partitions, replication_factor)))


def _wanted(
    bootstrap: str | None, prefix: str | None, partitions: int | None, replication_factor: int | None
) -> tuple[dict[str, Any], Sequence[TopicDefinition]]:
    given = {"bootstrap": bootstrap, "topic_prefix": prefix}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    definitions = load_topics(
        settings.topic_prefix, partitions=partitions, replication_factor=replication_factor
    )
    return settings.client_config, definitions


def _show(states: Sequence[TopicState]) -> None:
    table = Table("topic", box=None, padding=(0, 2, 0, 0))
    for title in ("partitions", "replicas", "kept", "largest", "broker"):
        table.add_column(title, no_wrap=True)  # in a narrow terminal, only the name is wrapped
    for state in states:
        definition = state.definition
        table.add_row(
            definition.name,
            str(definition.partitions),
            str(definition.replication_factor),
            f"{definition.retention_hours / 24:.3g} d",
            f"{definition.max_message_bytes / (1 << 20):.3g} MiB",
            _presence(state),
        )
    console = Console()
    console.print(table)
    for state in states:
        for difference in state.differences:
            wanted = f"{difference.setting} is {difference.actual}, the definition says {difference.expected}"
            console.print(
                f"{state.definition.name}: {wanted}\n  {difference.remedy}", soft_wrap=True, markup=False
            )


def _presence(state: TopicState) -> str:
    if state.partitions is None:
        return "missing"
    if state.created:
        return "created"
    return f"{len(state.differences)} differ" if state.differences else "as defined"
