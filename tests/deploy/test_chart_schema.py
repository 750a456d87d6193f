"""values.schema.json: closed everywhere, explained everywhere, and at one with values.yaml."""

import json
from typing import Any

import yaml

from tests.deploy.chart import CHART

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def test_schema_is_closed_and_explained() -> None:
    opened, silent = [], []

    def walk(part: object, path: str) -> None:
        if isinstance(part, dict):
            kind = part.get("type")
            if "properties" in part and part.get("additionalProperties") is not False:
                opened.append(path)
            if (
                kind == "object"
                and "properties" not in part
                and not isinstance(part["additionalProperties"], dict)
            ):
                opened.append(path)
            if kind == "object" and not part.get("description"):
                silent.append(path)
            for name, inner in part.items():
                walk(inner, f"{path}/{name}")
        elif isinstance(part, list):
            for inner in part:
                walk(inner, path)

    walk(SCHEMA, "")
    assert opened == ["/properties/global"]  # helm's own: what a parent chart shares
    assert silent == []


def test_schema_and_defaults_name_the_same_values() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    # helm adds `global`; settings have no defaults here, since worker, front and desk have theirs.
    apart = {"/global", "/worker/settings", "/front/settings", "/review/settings"}

    def differing(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
        properties = schema["properties"]
        found = [f"{path}/{name}" for name in properties.keys() ^ value.keys()]
        for name in properties.keys() & value.keys():
            if "properties" in properties[name] and f"{path}/{name}" not in apart:
                found += differing(value[name], properties[name], f"{path}/{name}")
        return found

    assert set(differing(values, SCHEMA, "")) <= apart


def test_no_default_can_be_taken_away() -> None:
    """Helm takes `kafkaPorts:` without a value for: without the default. Every port would be open then."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    # Settings have no defaults here, and a bundle's folder need not be named.
    apart = {"/worker/settings", "/front/settings", "/review/settings", "/bundle/claim", "/bundle/image"}

    def optional(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
        found = [f"{path}/{name}" for name in value.keys() - set(schema.get("required", ()))]
        for name, inner in schema["properties"].items():
            if "properties" in inner and f"{path}/{name}" not in apart:
                found += optional(value.get(name, {}), inner, f"{path}/{name}")
        return found

    assert optional(values, SCHEMA, "") == []
