"""The types in docs/examples/connect are those of the JSON Schemas, and the page shows the files whole."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs/examples/connect"
PAGE = ROOT / "docs/how-to/connect-in-your-language.md"
EVENTS = ("message", "label", "dead-letter", "review-decision")
FILES = {
    "python": EXAMPLES / "python/connect.py",
    "java": EXAMPLES / "java/Connect.java",
    "typescript": EXAMPLES / "typescript/connect.ts",
}
# What a language calls the types of JSON. A type that starts with a capital is another of the example's.
WORDS = {
    "str": {"string"},
    "str | None": {"string", "null"},
    "int": {"integer"},
    "String": {"string"},
    "int ": {"integer"},
    "long": {"integer"},
    "string": {"string"},
    "string | null": {"string", "null"},
    "number": {"integer", "number"},
}

Types = dict[str, dict[str, str]]


def python_types(source: str) -> Types:
    classes = re.findall(r"^class (\w+)\(TypedDict\):\n((?:(?:    .+)?\n)+)", source, re.MULTILINE)
    return {
        name: {
            field: kind.strip() for field, kind in re.findall(r"^    (\w+): ([^#\n]+)", body, re.MULTILINE)
        }
        for name, body in classes
    }


def java_types(source: str) -> Types:
    return {
        name: {
            re.sub(r"[A-Z]", lambda capital: "_" + capital[0].lower(), field): kind
            for kind, field in (each.split() for each in fields.split(", "))
        }
        for name, fields in re.findall(r"^    record (\w+)\((.+)\) \{\}$", source, re.MULTILINE)
    }


def typescript_types(source: str) -> Types:
    interfaces = re.findall(r"^interface (\w+) \{\n((?:  .+\n)+)\}", source, re.MULTILINE)
    return {
        name: {
            field: kind.strip() for field, kind in re.findall(r"^  (\w+)\??: ([^/\n]+)", body, re.MULTILINE)
        }
        for name, body in interfaces
    }


READ = {"python": python_types, "java": java_types, "typescript": typescript_types}


def schemas() -> dict[str, dict[str, Any]]:
    """The properties of each type: of the events, and of what their schemas define."""
    found = {}
    for event in EVENTS:
        schema = json.loads((ROOT / f"schemas/json/{event}.schema.json").read_text("utf-8"))
        for each in (schema, *schema.get("$defs", {}).values()):
            found[each["title"]] = each["properties"]
    return found


def of_json(schema: dict[str, Any]) -> set[str]:
    if "anyOf" in schema:
        return set().union(*(of_json(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return {repr(word) for word in schema["enum"]} | {"string"}
    return {schema["type"]} if "type" in schema else {schema["$ref"].rpartition("/")[2]}


def faults(types: Types) -> Iterator[str]:
    known = schemas()
    for name, fields in types.items():
        for field, kind in fields.items():
            if name not in known or field not in known[name]:
                yield f"{name}.{field} is in no schema"
                continue
            allowed = of_json(known[name][field])
            literals = set(re.findall(r"'\w+'", kind))
            if literals:
                if literals != allowed - {"string"}:
                    yield f"{name}.{field} has other words"
            elif kind in known:
                if allowed != {kind}:
                    yield f"{name}.{field} is no {kind}"
            elif not allowed & {"string", "integer", "number"} <= WORDS[kind]:
                yield f"{name}.{field} is no {kind}"


@pytest.mark.parametrize("language", FILES)
def test_each_type_is_that_of_the_schema(language: str) -> None:
    types = READ[language](FILES[language].read_text("utf-8"))
    assert {"Label", "Origin", "DeadLetter", "ReviewDecision"} <= set(types)
    assert all(types.values())
    assert list(faults(types)) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"Label": {"message": "string"}}, "Label.message is in no schema"),
        ({"Label": {"risk": "string"}}, "Label.risk is no string"),
        ({"Label": {"verdict": "'clear' | 'at_risk'"}}, "Label.verdict has other words"),
        ({"DeadLetter": {"origin": "Label"}}, "DeadLetter.origin is no Label"),
    ],
)
def test_a_wrong_type_is_seen(wrong: Types, said: str) -> None:
    assert list(faults(wrong)) == [said]


@pytest.mark.parametrize("language", FILES)
def test_the_page_shows_the_file_as_it_is(language: str) -> None:
    blocks = re.findall(rf"^```{language}\n(.+?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks == [FILES[language].read_text("utf-8")]
