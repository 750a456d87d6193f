"""`mimamori topics acls`: prints what an administrator grants to each part, from the one list of rights."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import typer
import yaml

from engine.errors import SettingsError
from schemas.rights import PARTS, Names, Part, Right, rights_of
from schemas.strimzi import acls as strimzi_acls
from schemas.strimzi import alike

Form = Literal["kafka-acls", "strimzi", "table"]

_DEFAULTS: Final = Names()
# What kafka-acls.sh calls a resource.
_OPTIONS: Final[Mapping[str, str]] = {
    "topic": "--topic",
    "group": "--group",
    "transactional-id": "--transactional-id",
}


def acls(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Of these alone: {', '.join(PARTS)}.", show_default=False)
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="kafka-acls: commands. strimzi: KafkaUser resources. table: for a person to read.",
        ),
    ] = "kafka-acls",
    principal: Annotated[
        list[str] | None,
        typer.Option(
            help="The user of a part, as worker=User:NAME [default: User:mimamori-PART].", show_default=False
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="Prefix of the topics' names.", envvar="MIMAMORI_TOPIC_PREFIX")
    ] = _DEFAULTS.topic_prefix,
    group: Annotated[
        str, typer.Option(help="The workers' consumer group.", envvar="MIMAMORI_GROUP")
    ] = _DEFAULTS.group,
    transactional_id: Annotated[
        str,
        typer.Option(
            "--transactional-id",
            help="How the workers' transactional ids begin; NAMESPACE.RELEASE in the chart.",
        ),
    ] = _DEFAULTS.transactional_id,
    platform_group: Annotated[
        str, typer.Option(help="The consumer group of your own programs.")
    ] = _DEFAULTS.platform_group,
) -> None:
    """Print the rights in Kafka that each part needs, and no others, for an administrator to grant.

    Kafka is not asked: run the commands, or apply the resources, yourself.
    """
    names = Names(prefix, group, transactional_id, platform_group)
    users = _users(principal or [])
    chosen = [_part(name) for name in parts or PARTS]
    for part in chosen:
        rights = rights_of(part, names)
        match form:
            case "kafka-acls":
                typer.echo(commands(part, users[part], rights))
            case "strimzi":
                typer.echo(strimzi(part, users[part], rights))
            case "table":
                typer.echo(table(part, rights))


def commands(part: Part, principal: str, rights: Sequence[Right]) -> str:
    """Commands of kafka-acls.sh: one for each set of operations, with all resources that need it."""
    lines = [f"# {part}: {PARTS[part]}"]
    for (operations, resource, prefixed), names in alike(rights):
        words = [
            'kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$ADMIN" --add',
            f"--allow-principal '{principal}'",
            *(f"--operation {operation}" for operation in operations),
            *(f"{_OPTIONS[resource]} '{name}'" for name in names),
            *(["--resource-pattern-type prefixed"] if prefixed else []),
        ]
        lines.append(" \\\n  ".join([" ".join(words[:2]), " ".join(words[2:])]))
    return "\n".join(lines) + "\n"


def strimzi(part: Part, principal: str, rights: Sequence[Right]) -> str:
    """A KafkaUser with SCRAM-SHA-512, for Strimzi's user operator; its secret has the user's name."""
    resource: dict[str, Any] = {
        "apiVersion": "kafka.strimzi.io/v1beta2",
        "kind": "KafkaUser",
        "metadata": {
            "name": principal.removeprefix("User:"),
            "labels": {"strimzi.io/cluster": "YOUR-CLUSTER"},
        },
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {
                "type": "simple",
                "acls": strimzi_acls(rights),
            },
        },
    }
    return f"---\n# {part}: {PARTS[part]}\n" + yaml.safe_dump(resource, sort_keys=False).rstrip()


def table(part: Part, rights: Sequence[Right]) -> str:
    """A table in Markdown: each resource once, with its operations and why."""
    what = PARTS[part]
    rows = [f"{what[:1].upper()}{what[1:]}:\n", "| on | right | why |", "|---|---|---|"]
    by_resource: dict[str, list[Right]] = defaultdict(list)
    for right in rights:
        star = "*" if right.prefix else ""
        by_resource[f"{right.resource} `{right.name}{star}`"].append(right)
    for resource, of_it in by_resource.items():
        operations = ", ".join(right.operation for right in of_it)
        reasons = "; ".join(dict.fromkeys(right.why for right in of_it))
        rows.append(f"| {resource} | {operations} | {reasons} |")
    return "\n".join(rows) + "\n"


def _users(given: Sequence[str]) -> dict[Part, str]:
    users = {part: f"User:mimamori-{part}" for part in PARTS}
    for pair in given:
        part, equals, user = pair.partition("=")
        if not equals or ":" not in user:
            raise SettingsError(f"--principal {pair}: write it as worker=User:NAME")
        users[_part(part)] = user
    return users


def _part(name: str) -> Part:
    for part in PARTS:
        if part == name:
            return part
    raise SettingsError(f"{name} is no part of Mimamori: choose of {', '.join(PARTS)}")
