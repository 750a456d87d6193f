"""The reference pages hold all that is in the code, and a build without it fails."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import Field
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from docs.reference import PAGES
from docs.reference.settings import section
from front.metrics import CATALOGUE as FRONT
from front.settings import FrontSettings
from mimamori.cli import app
from review.catalogue import CATALOGUE as DESK
from review.settings import ReviewSettings
from schemas.kinds import KINDS
from schemas.reasons import DeadLetterReason, Reason
from schemas.rights import PARTS, rights_of
from schemas.topics import load_topics
from worker.settings import Settings
from worker.telemetry.catalogue import CATALOGUE

ROOT = Path(__file__).parents[3]


def headings(name: str) -> list[str]:
    """Headings of a page, without what stands around them."""
    return re.findall(r"^#+ `?([^`{\n]+?)`?(?: \{.*\})?$", PAGES[name](), re.MULTILINE)


def test_every_setting_is_there() -> None:
    expected = [f"MIMAMORI_{name.upper()}" for name in Settings.model_fields]
    expected += [f"MIMAMORI_REVIEW_{name.upper()}" for name in ReviewSettings.model_fields]
    expected += [f"MIMAMORI_FRONT_{name.upper()}" for name in FrontSettings.model_fields]
    assert [heading for heading in headings("settings.md") if heading.startswith("MIMAMORI_")] == expected


def test_every_metric_is_there() -> None:
    expected = {metric.name for metric in (*CATALOGUE, *DESK, *FRONT)} | {"mimamori_shadow_passed_over_total"}
    assert {heading for heading in headings("metrics.md") if heading.startswith("mimamori_")} == expected


def test_every_event_with_its_fields_and_every_topic_is_there() -> None:
    page = PAGES["events.md"]()
    parts = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", page, re.MULTILINE))
    for kind in KINDS:
        fields = re.findall(r"^\| `(\w+)` \|", parts[kind.name], re.MULTILINE)
        assert fields == list(kind.event.__struct_fields__)
    assert [topic.name for topic in load_topics() if f"**Topic `{topic.name}`.**" not in page] == []


def test_every_command_with_its_options_is_there() -> None:
    page = PAGES["commands.md"]()
    named = headings("commands.md")[1:]
    # As a person would find them: by asking for help, level by level.
    found: list[str] = []
    asked: list[tuple[str, ...]] = [()]
    while asked:
        path = asked.pop()
        given = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
        below = re.split(r"Usage:.*COMMAND", given)[1:]
        if below:
            asked += [(*path, name) for name in re.findall(r"^│ ([a-z][\w-]*) ", below[0], re.MULTILINE)]
            continue
        found.append(" ".join(("mimamori", *path)))
        options = set(re.findall(r"^│ [* ]*(--[a-z-]+)", given, re.MULTILINE)) - {"--help"}
        part = page.partition(f"## `{found[-1]}`\n")[2].partition("\n## ")[0]
        assert options == set(re.findall(r"^\| `(--[a-z-]+)", part, re.MULTILINE)), found[-1]
    assert sorted(found) == sorted(named)
    assert len(found) > 10


def test_every_error_and_reason_is_there() -> None:
    page = PAGES["errors.md"]()
    sources = [
        ROOT / package / "errors.py" for package in ("engine", "worker", "export", "mimamori", "review")
    ]
    errors = [
        name for source in sources for name in re.findall(r"^class (\w+)", source.read_text(), re.MULTILINE)
    ]
    assert len(errors) > 10
    assert [name for name in errors if f"**`{name}`**" not in page] == []
    schema = (ROOT / "schemas" / "json" / "dead-letter.schema.json").read_text()
    for reason in get_args(DeadLetterReason):
        assert reason in schema
        assert f"| `{reason}` |" in page
    assert all(f"| `{reason}` |" in PAGES["events.md"]() for reason in get_args(Reason))


def test_a_setting_without_a_description_stops_the_build() -> None:
    class Silent(BaseSettings):
        threads: int = 0

    with pytest.raises(ValueError, match="X_THREADS has no description"):
        section(Silent, "X_", {}, "worker")


def test_a_setting_that_the_chart_cannot_set_stops_the_build() -> None:
    class Unplaced(BaseSettings):
        invented: int = Field(0, description="Nobody can set it.")

    with pytest.raises(ValueError, match="the chart has no place for invented"):
        section(Unplaced, "X_", {}, "worker")
    with pytest.raises(ValueError, match=r"has no worker\.invented"):
        section(Unplaced, "X_", {"invented": "worker.invented"}, "worker")
    assert "set by the chart itself" in section(Unplaced, "X_", {"invented": None}, "worker")[-1]


def test_every_right_is_there() -> None:
    page = PAGES["rights.md"]()
    parts = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", page, re.MULTILINE))
    assert list(parts) == list(PARTS)
    for part in PARTS:
        rows = re.findall(r"^\| (\S+) `(.+)` \| (.+) \| (.+) \|$", parts[part], re.MULTILINE)
        shown = {
            (on, name, operation) for on, name, operations, _ in rows for operation in operations.split(", ")
        }
        assert shown == {
            (right.resource, right.name + "*" * right.prefix, right.operation) for right in rights_of(part)
        }
