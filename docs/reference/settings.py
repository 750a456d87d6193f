"""`settings.md`: every setting of the worker and of the review desk, from their classes."""

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic_settings import BaseSettings

from docs.reference.markdown import code
from review.settings import ENV_PREFIX as REVIEW_PREFIX
from review.settings import ReviewSettings
from worker.settings import PREFIX as WORKER_PREFIX
from worker.settings import Settings

HELM: Final = Path(__file__).parents[2] / "helm"

# What the chart sets under a value of its own; every other setting goes under `settings`, by its own name.
# None: the chart decides it, and it cannot be chosen there.
WORKER_VALUES: Final[Mapping[str, str | None]] = {
    "bootstrap": "kafka.bootstrap",
    "group": "worker.group",
    "topic_prefix": "kafka.topicPrefix",
    "transactional_id": None,
    "kafka": "kafka.config",
    "allow_insecure": "allowInsecure",
    "bundle": "bundle.source",
    "bundle_fingerprint": "bundle.fingerprint",
    "bundle_public_key": "bundle.publicKey",
    "device": "worker.device",
    "redis_url": "cache.redisUrlKey",
    "cache_secret": "cache.cacheSecretKey",
    "drain_s": "worker.drainSeconds",
    "health_host": None,
    "health_port": None,
}
REVIEW_VALUES: Final[Mapping[str, str | None]] = {
    "bootstrap": "kafka.bootstrap",
    "topic_prefix": "kafka.topicPrefix",
    "host": None,
    "port": None,
    "allowed_hosts": "review.allowedHosts",
    "folder": None,
    "replication_factor": "kafka.replicationFactor",
    "security_protocol": "kafka.security.protocol",
    "sasl_mechanism": "kafka.security.saslMechanism",
    "sasl_username": "kafka.security.usernameKey",
    "sasl_password": "kafka.security.passwordKey",
    "ssl_ca": "kafka.security.caKey",
    "ssl_certificate": "kafka.security.certificateKey",
    "ssl_key": "kafka.security.privateKeyKey",
    "allow_insecure": "allowInsecure",
}

INTRODUCTION: Final = """# Settings

The worker and the review desk read their settings once, when they start. An unknown or misspelt name stops
them, so that no setting is passed over in silence. `mimamori doctor --settings` prints the worker's settings
with the values that are in force.

The worker takes each setting from an environment variable. `MIMAMORI_SETTINGS` may name a YAML file with the
same names in lower case, without the prefix; a variable wins over the file. Two further variables are
read by every command: `MIMAMORI_HOME` (where downloads and built bundles are kept, `~/.cache/mimamori` by
default) and `MIMAMORI_SETTINGS` itself. The desk takes environment variables alone.

*Chart* names the value of the Helm chart that sets it. Passwords and keys come from the secrets that the chart
names; such a value is the key in the secret.
"""


def page() -> str:
    """The page. Raises ValueError: a setting has no description, or the chart has no place for it."""
    return "\n".join(
        [
            INTRODUCTION,
            "## The worker\n",
            *_settings(Settings, WORKER_PREFIX, WORKER_VALUES, "worker"),
            "## The review desk\n",
            *_settings(ReviewSettings, REVIEW_PREFIX, REVIEW_VALUES, "review"),
        ]
    )


def _settings(
    settings: type[BaseSettings], prefix: str, values: Mapping[str, str | None], part: str
) -> list[str]:
    schema = settings.model_json_schema()
    chart = _chart_settings(part)
    known = yaml.safe_load((HELM / "values.yaml").read_bytes())
    if gone := values.keys() - settings.model_fields.keys():
        raise ValueError(f"no such setting of the {part}: {', '.join(sorted(gone))}; see docs/reference/settings.py")
    groups = _groups(settings)
    lines = []
    for name in settings.model_fields:
        if name in groups:
            lines.append(f"### {groups[name]}\n")
        shape = schema["properties"][name]
        if not shape.get("description"):
            raise ValueError(f"{prefix}{name.upper()} has no description: give its field one")
        facts = [_type(shape, schema), f"default {_default(shape.get('default'))}"]
        if name in values:
            value = values[name]
            if value and not _exists(known, value):
                raise ValueError(f"helm/values.yaml has no {value}, which is said to set {name}")
            facts.append(f"chart {code(value)}" if value else "set by the chart itself")
        elif name in chart:
            facts.append(f"chart `{part}.settings.{name}`")
        else:
            raise ValueError(
                f"the chart has no place for {name}: add it to {part}.settings in helm/values.schema.json, "
                "or say in docs/reference/settings.py which value sets it"
            )
        lines.append(f"#### `{prefix}{name.upper()}` {{ #{prefix.lower().replace('_', '-')}{name.replace('_', '-')} }}\n")
        lines.append(f"{_sentence(shape['description'])}\n\n*{' · '.join(facts)}*\n")
    return lines


def _chart_settings(part: str) -> set[str]:
    """Names that `worker.settings` or `review.settings` may hold in the chart."""
    schema = json.loads((HELM / "values.schema.json").read_bytes())
    return set(schema["properties"][part]["properties"]["settings"]["properties"])


def _exists(values: Any, path: str) -> bool:
    for step in path.split("."):
        if not isinstance(values, dict) or step not in values:
            return False
        values = values[step]
    return True


def _groups(settings: type[BaseSettings]) -> dict[str, str]:
    """The comment above a block of settings is the block's heading: first setting of a block to heading."""
    source = inspect.getsource(settings)
    return {name: title for title, name in re.findall(r"^    # (.+)\n    (\w+): ", source, re.MULTILINE)}


def _type(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "$ref" in shape:
        return _type(schema["$defs"][shape["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(_type(one, schema) for one in shape["anyOf"] if one.get("type") != "null"))
    if "enum" in shape:
        return ", ".join(code(value) for value in shape["enum"])
    if "const" in shape:
        return code(shape["const"])
    match shape.get("type"):
        case "array":
            return f"comma-separated: {_type(shape['items'], schema)}"
        case "object":
            return "a JSON object"
        case "boolean":
            return "true or false"
        case "integer" | "number" as kind:
            return ("whole number" if kind == "integer" else "number") + _bounds(shape)
        case _:
            return {"path": "path", "file-path": "path of a file", "password": "text, never shown"}.get(
                shape.get("format", ""), "text"
            )


def _bounds(shape: dict[str, Any]) -> str:
    """The limits of a number, in words."""
    words = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}
    return "".join(f" {word} {shape[bound]:g}" for bound, word in words.items() if bound in shape)


def _default(value: object) -> str:
    match value:
        case None | "" | [] | {}:
            return "none"
        case bool():
            return code(str(value).lower())
        case _:
            return code(value)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
