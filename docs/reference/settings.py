"""Makes `settings.md`: every setting of the worker, the desk and the HTTP front, from their classes."""

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic_settings import BaseSettings

from docs.reference.json_schema import in_words
from docs.reference.markdown import code
from front.settings import ENV_PREFIX as FRONT_PREFIX
from front.settings import FrontSettings
from review.settings import ENV_PREFIX as REVIEW_PREFIX
from review.settings import ReviewSettings
from worker.settings import PREFIX as WORKER_PREFIX
from worker.settings import Settings

HELM: Final = Path(__file__).parents[2] / "helm"

# The same for worker and desk.
ACCESS_VALUES: Final[Mapping[str, str | None]] = {
    "security_protocol": "kafka.security.protocol",
    "sasl_mechanism": "kafka.security.saslMechanism",
    "sasl_username": "kafka.security.usernameKey",
    "sasl_password": "kafka.security.passwordKey",
    "sasl_password_file": "kafka.security.passwordKey",
    "sasl_token_file": "kafka.security.oauth.serviceAccountAudience",
    "sasl_token_url": "kafka.security.oauth.tokenUrl",
    "sasl_token_scope": "kafka.security.oauth.scope",
    "sasl_token_ca": "kafka.security.oauth.caKey",
    "ssl_ca": "kafka.security.caKey",
    "ssl_certificate": "kafka.security.certificateKey",
    "ssl_key": "kafka.security.privateKeyKey",
    "ssl_key_password": "kafka.security.privateKeyPasswordKey",
    "ssl_key_password_file": "kafka.security.privateKeyPasswordKey",
}

# Settings that have a value of their own in the chart: setting -> the value's name. Every other setting is
# under `settings`, by its own name. None means that the chart sets it, and that users cannot choose it there.
WORKER_VALUES: Final[Mapping[str, str | None]] = {
    **ACCESS_VALUES,
    "bootstrap": "kafka.bootstrap",
    "group": "worker.group",
    "topic_prefix": "kafka.topicPrefix",
    "transactional_id": None,
    "kafka": "kafka.config",
    "allow_insecure": "allowInsecure",
    "bundle": "bundle.source",
    "bundle_fingerprint": "bundle.fingerprint",
    "more_bundles": "moreBundles",
    "canary_bundle": "canary.bundle",
    "canary_share": "canary.share",
    "bundle_public_key": "bundle.publicKey",
    "device": "worker.device",
    "redis_url": "cache.redisUrlKey",
    "cache_secret": "cache.cacheSecretKey",
    "schema_registry_url": "schemaRegistry.url",
    "label_format": "schemaRegistry.labelFormat",
    "schema_registry_user": "schemaRegistry.userKey",
    "schema_registry_password": "schemaRegistry.passwordKey",
    "schema_registry_password_file": "schemaRegistry.passwordKey",
    "schema_registry_token_file": "schemaRegistry.tokenKey",
    "schema_registry_ca": "schemaRegistry.caKey",
    "shadow": "shadow.enabled",
    "shadow_share": "shadow.share",
    "shadow_at_most": "shadow.atMost",
    "traces_endpoint": "traces.endpoint",
    "traces_headers": "traces.headersKey",
    "traces_ratio": "traces.ratio",
    "drain_s": "worker.drainSeconds",
    "health_host": None,
    "health_port": None,
}
REVIEW_VALUES: Final[Mapping[str, str | None]] = {
    **ACCESS_VALUES,
    "bootstrap": "kafka.bootstrap",
    "topic_prefix": "kafka.topicPrefix",
    "host": None,
    "port": None,
    "allowed_hosts": "review.allowedHosts",
    "access": "review.access.mode",
    "public_url": "review.access.publicUrl",
    "oidc_issuer": "review.access.oidc.issuer",
    "oidc_client_id": "review.access.oidc.clientId",
    "oidc_client_secret": "review.access.clientSecretKey",
    "oidc_scopes": "review.access.oidc.scopes",
    "proxy_header": "review.access.proxy.header",
    "proxy_issuer": "review.access.proxy.issuer",
    "proxy_audience": "review.access.proxy.audience",
    "proxy_keys_url": "review.access.proxy.keysUrl",
    "proxy_sign_out_url": "review.access.proxy.signOutUrl",
    "identity_ca": "review.access.caKey",
    "id_claim": "review.access.idClaim",
    "roles_claim": "review.access.rolesClaim",
    "role_reviewer": "review.access.roles.reviewer",
    "role_lead": "review.access.roles.lead",
    "role_auditor": "review.access.roles.auditor",
    "health_host": None,
    "health_port": None,
    "folder": None,
    "table_keys": "review.tableKeys.key",
    "table_keys_file": None,
    "replication_factor": "kafka.replicationFactor",
    "allow_insecure": "allowInsecure",
    "traces_endpoint": "traces.endpoint",
    "traces_headers": "traces.headersKey",
    "signing_key": "review.signing.existingSecret",
    "trusted_keys": "review.signing.trustedKeys",
    "webhook_url": "review.webhooks.url",
    "webhook_secret": "review.webhooks.secretKey",
    "webhook_types": "review.webhooks.types",
    "webhook_timeout_seconds": "review.webhooks.timeoutSeconds",
    "webhook_give_up_hours": "review.webhooks.giveUpHours",
    "api_tokens": "review.apiTokens.key",
    "golden": "review.golden.key",
}

# A class of settings may have parts in other modules, each with headings of its own.
_OURS: Final = {"worker", "review", "front", "schemas"}

INTRODUCTION: Final = """# Settings

The worker, the review desk and the HTTP front read their settings once, when they start. An unknown or
misspelt name stops them, so that no setting is passed over in silence. `mimamori doctor --settings` prints
the worker's settings with the values that are in force.

The worker takes each setting from an environment variable. `MIMAMORI_SETTINGS` may name a YAML file with the
same names in lower case, without the prefix; a variable wins over the file. Every command also reads
`MIMAMORI_HOME`, where downloads and built bundles are kept (`~/.cache/mimamori` by default). The desk takes
environment variables alone. The HTTP front takes what decides a score, the limits of batches, its drain and
its probes from the worker's settings, and the rest from variables of its own.

*Chart* names the value of the Helm chart that sets it. Passwords and keys come from the secrets that the
chart names; such a value is the key in the secret.
"""


def page() -> str:
    """Return the page. Raises ValueError: a setting has no description, or the chart has no place for it."""
    return "\n".join(
        [
            INTRODUCTION,
            "## The worker\n",
            *section(Settings, WORKER_PREFIX, WORKER_VALUES, "worker"),
            "## The review desk\n",
            *section(ReviewSettings, REVIEW_PREFIX, REVIEW_VALUES, "review"),
            "## The HTTP front\n",
            *section(FrontSettings, FRONT_PREFIX, {}, None),
        ]
    )


def section(
    settings: type[BaseSettings], prefix: str, values: Mapping[str, str | None], part: str | None
) -> list[str]:
    """Return the lines of the page for one class of settings. Raises ValueError, as `page` does.

    `part` is the chart's name for what has these settings, None where the chart does not start it.
    """
    schema = settings.model_json_schema()
    chart = _chart_settings(part) if part else set()
    known = yaml.safe_load((HELM / "values.yaml").read_bytes())
    if gone := values.keys() - settings.model_fields.keys():
        raise ValueError(
            f"no such setting of the {part}: {', '.join(sorted(gone))}; see docs/reference/settings.py"
        )
    groups = _groups(settings)
    lines = []
    for name in settings.model_fields:
        if name in groups:
            lines.append(f"### {groups[name]}\n")
        shape = schema["properties"][name]
        if not shape.get("description"):
            raise ValueError(f"{prefix + name.upper()} has no description: give its field one")
        facts = [_takes(shape, schema), f"default {_default(shape.get('default'))}"]
        if name in values:
            value = values[name]
            if value and not _exists(known, value):
                raise ValueError(f"helm/values.yaml has no {value}, which is said to set {name}")
            facts.append(f"chart {code(value)}" if value else "set by the chart itself")
        elif name in chart:
            facts.append(f"chart `{part}.settings.{name}`")
        elif part:
            raise ValueError(
                f"the chart has no place for {name}: add it to {part}.settings in helm/values.schema.json, "
                "or say in docs/reference/settings.py which value sets it"
            )
        variable = prefix + name.upper()
        lines.append(f"#### `{variable}` {{ #{variable.lower().replace('_', '-')} }}\n")
        lines.append(f"{_sentence(shape['description'])}\n\n{' · '.join(facts)}\n")
    return lines


def _chart_settings(part: str) -> set[str]:
    """Return the names that the chart allows under `worker.settings` or `review.settings`."""
    schema = json.loads((HELM / "values.schema.json").read_bytes())
    return set(schema["properties"][part]["properties"]["settings"]["properties"])


def _exists(values: Any, path: str) -> bool:
    for step in path.split("."):
        if not isinstance(values, dict) or step not in values:
            return False
        values = values[step]
    return True


def _groups(settings: type[BaseSettings]) -> dict[str, str]:
    """Map the first setting of each block to the block's heading, which is the comment above it."""
    source = "".join(
        inspect.getsource(one) for one in settings.__mro__ if one.__module__.split(".")[0] in _OURS
    )
    return {name: title for title, name in re.findall(r"^    # (.+)\n    (\w+): ", source, re.MULTILINE)}


def _takes(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    """Describe the values that the variable takes, without null, which means that the variable is not set."""
    if "anyOf" in shape:
        shape = {"anyOf": [one for one in shape["anyOf"] if one.get("type") != "null"]}
    words = in_words(shape, schema)
    return f"comma-separated {words.removeprefix('list of ')}" if words.startswith("list of") else words


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
