"""Yesterday's events are read today, and a change that would break a reader is found."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import schemas
from schemas.evolution import Schema, unreadable
from schemas.generate import breaks_of_promise, json_schema
from schemas.kinds import KINDS, Kind

HISTORY = Path(schemas.__file__).parent / "history"
KIND = {kind.name: kind for kind in KINDS}


def _versions() -> list[tuple[Kind, Path]]:
    return [
        (kind, HISTORY / f"v{n}" / f"{kind.name}.schema.json")
        for kind in KINDS
        for n in range(1, kind.version + 1)
    ]


versions = pytest.mark.parametrize(
    ("kind", "frozen"), _versions(), ids=lambda item: getattr(item, "name", "")
)


@versions
def test_today_keeps_what_every_version_promised(kind: Kind, frozen: Path) -> None:
    assert breaks_of_promise(kind, msgspec.json.decode(frozen.read_bytes()), json_schema(kind)) == []


@versions
def test_todays_consumers_read_yesterdays_events(kind: Kind, frozen: Path) -> None:
    examples = frozen.with_name(f"{kind.name}.examples.json").read_bytes()
    for example in msgspec.json.decode(examples):
        assert isinstance(schemas.decode(kind.event, msgspec.json.encode(example["payload"])), kind.event)


def test_no_version_is_left_out_of_history_or_kinds() -> None:
    named = {path for _, path in _versions()}
    assert named == set(HISTORY.glob("v*/*.schema.json"))


def _label(change: Callable[[Schema], object]) -> Schema:
    schema = copy.deepcopy(json_schema(KIND["label"]))
    change(schema)
    return schema


def _put(path: str, value: Any) -> Callable[[Schema], object]:
    def change(schema: Schema) -> None:
        *above, last = path.split("/")
        for step in above:
            schema = schema[step]
        schema[last] = value

    return change


SCORES = "$defs/Severity/properties/scores/additionalProperties"
REASONS = "properties/reasons/items/enum"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda s: s["required"].append("language"), "$.language: is required, and was not always there"),
        (lambda s: s["$defs"]["Severity"]["required"].append("why"), "$.severity.why: is required"),
        (_put("properties/verdict/enum", ["at_risk", "uncertain"]), "$.verdict: 'clear' is no longer among"),
        (_put(REASONS, ["truncated"]), "$.reasons[]: 'above_upper_threshold' is no longer among"),
        (_put("properties/task", {"enum": ["stress"]}), "$.task: 'any other value' is no longer among"),
        (_put("properties/risk/type", "integer"), "$.risk: type number became integer"),
        (_put("properties/windows/type", "string"), "$.windows: type integer became string"),
        (_put("properties/risk/maximum", 0.5), "$.risk: maximum fell to 0.5"),
        (_put("properties/risk/minimum", 0.1), "$.risk: minimum rose to 0.1"),
        (_put("properties/id/maxLength", 64), "$.id: maxLength fell to 64"),
        (_put("properties/task/minLength", 1), "$.task: minLength rose to 1"),
        (_put("properties/bundle/format", "uuid"), "$.bundle: format uuid is now demanded"),
        (_put("properties/severity", {"$ref": "#/$defs/Severity"}), "$.severity: type null became object"),
        (_put(f"{SCORES}/maximum", 0.9), "$.severity.scores.*: maximum fell to 0.9"),
        (_put("additionalProperties", False), "$: unknown fields are no longer accepted"),
    ],
)
def test_a_breaking_change_is_named(change: Callable[[Schema], object], line: str) -> None:
    broken = unreadable(json_schema(KIND["label"]), _label(change))
    assert broken
    assert broken[0].startswith(line)


@pytest.mark.parametrize(
    "change",
    [
        _put("properties/channel", {"type": "string"}),
        _put("properties/windows/type", "number"),
        _put("properties/id/maxLength", 512),
        _put("properties/task", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        lambda s: s["required"].remove("cached"),
        lambda s: s["properties"]["verdict"]["enum"].append("deferred"),
        lambda s: s["properties"].pop("cached"),
    ],
)
def test_a_compatible_change_passes(change: Callable[[Schema], object]) -> None:
    newer = _label(change)
    assert [line for line in unreadable(json_schema(KIND["label"]), newer) if "cached" not in line] == []


def test_labels_also_keep_their_promise_to_older_readers() -> None:
    """A new verdict is no trouble to a new reader; a platform that has not been told would refuse it."""
    newer = _label(lambda schema: schema["properties"]["verdict"]["enum"].append("deferred"))
    (broken,) = breaks_of_promise(KIND["label"], json_schema(KIND["label"]), newer)
    assert broken.startswith("for older readers, $.verdict: 'deferred'")


def test_a_keyword_the_check_does_not_know_is_never_waved_through() -> None:
    with pytest.raises(ValueError, match="does not know pattern"):
        unreadable(json_schema(KIND["label"]), _label(_put("properties/id/pattern", "^[a-z]+$")))
