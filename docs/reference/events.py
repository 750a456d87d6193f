"""Makes `events.md`: the kinds of event, their fields, examples and topics, from `schemas/`."""

import json
from pathlib import Path
from typing import Final

from docs.reference.json_schema import Shape, in_words, resolved
from docs.reference.markdown import code, paragraphs, table
from schemas.avro import FRAMED
from schemas.kinds import KINDS, Kind
from schemas.reasons import REASONS
from schemas.topics import TopicDefinition, load_topics

SCHEMAS: Final = Path(__file__).parents[2] / "schemas"
DAY_HOURS: Final = 24

INTRODUCTION: Final = """# Events

Each event is one JSON object, UTF-8, in the value of a Kafka record; messages and labels may stand behind
[a schema registry's frame](../how-to/use-a-schema-registry.md) too, as JSON or Avro. What Mimamori promises
about them is in [What the events promise](../explanation/events.md);
[Connect your platform](../how-to/connect-your-platform.md) shows how to send and read them.
[AsyncAPI](asyncapi.md) has all of it in one document for code generators.

Readers must ignore fields that they do not know: a new optional field may appear at any time.
"""


def page() -> str:
    """Return the page."""
    lines = [INTRODUCTION]
    topics = {topic.event: topic for topic in load_topics()}
    for kind in KINDS:
        lines += _kind(kind, topics[kind.name])
    lines += ["## Reasons of labels and cases\n", _reasons(), "## Internal topics\n"]
    lines += [_topic(topic) for topic in load_topics() if topic.event is None]
    return "\n".join(lines)


def _reasons() -> str:
    return table(["reason", "meaning"], ([code(name), meaning] for name, meaning in REASONS.items()))


def _kind(kind: Kind, topic: TopicDefinition) -> list[str]:
    schema = json.loads((SCHEMAS / "json" / f"{kind.name}.schema.json").read_bytes())
    examples = json.loads((SCHEMAS / "examples" / f"{kind.name}.json").read_bytes())
    links = (
        f"[JSON Schema](../../schemas/json/{kind.name}.schema.json) · "
        f"{f'[Avro](../../schemas/avro/{kind.name}.avsc) · ' if kind in FRAMED else ''}"
        f"[examples](../../schemas/examples/{kind.name}.json)"
    )
    lines = [
        f"## {kind.name}\n",
        f"{paragraphs(kind.event.__doc__)}\n",
        f"Version {kind.version}, `{kind.urn}` · {links}\n",
        _fields(schema),
        _topic(topic),
    ]
    for example in examples[:1]:
        lines += [
            f"{example['summary']}\n",
            f"```json\n{json.dumps(example['payload'], indent=2, ensure_ascii=False)}\n```\n",
        ]
    if kind.name == "message":
        lines.append(
            "Messages that are refused, each with its reason: "
            "[message.refused.json](../../schemas/examples/message.refused.json).\n"
        )
    return lines


def _fields(schema: Shape) -> str:
    required = set(schema.get("required", ()))
    rows = []
    for name, shape in schema["properties"].items():
        rows.append([code(name), in_words(shape, schema), "yes" if name in required else "no"])
        for inner in _objects(shape, schema):
            rows += [
                [code(f"{name}.{part}"), in_words(one, schema), "yes"]
                for part, one in inner["properties"].items()
            ]
    return table(["field", "type", "required"], rows)


def _objects(shape: Shape, schema: Shape) -> list[Shape]:
    """Return the shapes with named fields that a field's value may have."""
    found = [resolved(one, schema) for one in (shape, *shape.get("anyOf", ()))]
    return [one for one in found if "properties" in one]


def _topic(topic: TopicDefinition) -> str:
    days = topic.retention_hours / DAY_HOURS
    policy = code(f"cleanup.policy={topic.cleanup_policy}")
    lag = topic.max_compaction_lag_hours
    replaced = f"; what a later record of its key replaces, {lag} h" if lag else ""
    return f"**Topic `{topic.name}`.** {paragraphs(topic.description)}\n\n" + table(
        ["setting", "value"],
        [
            ["key", topic.key],
            ["partitions", str(topic.partitions)],
            ["replicas", f"{topic.replication_factor}, {topic.min_insync_replicas} of them in sync"],
            ["retention", f"{days:g} days, {policy}{replaced}"],
            ["largest record", f"{topic.max_message_bytes:,} bytes"],
            ["compatibility", code(topic.compatibility)],
            ["owner", topic.owner],
        ],
    )
