"""What the pages show exists: commands, options, words of make, settings, metrics, values of the chart."""

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from front.metrics import CATALOGUE as FRONT
from front.settings import FrontSettings
from mimamori.cli import app
from review.catalogue import CATALOGUE as DESK
from review.settings import ReviewSettings
from worker.settings import Settings
from worker.telemetry.catalogue import CATALOGUE

ROOT = Path(__file__).parents[3]
# The changelog tells of releases, and decisions of their day: names in them may be gone.
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if page.name != "CHANGELOG.md" and "decisions" not in page.parts
)
FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
PLACEHOLDERS = {"…", "...", "|", "&&"}
# A command at the beginning of a line, behind settings for it alone, or behind `--`.
COMMAND = re.compile(r"(?:^|^.* -- )(?:\w+=\S* +)*(?:\S*/)?(mimamori [a-z].*)$")
OUTSIDE = {
    "MIMAMORI_HOME",  # read before there are settings
    "MIMAMORI_SETTINGS",
    "MIMAMORI_PORT",  # what Kubernetes would make up
    "mimamori_label",  # names of actions at Osprey
    "mimamori_decision",
}
FILES = {"json", "md", "onnx", "py", "yaml"}


@cache
def is_understood(command: str) -> bool:
    """Whether it has these options. A page may leave out what is required, or write … for it."""
    try:
        words = shlex.split(command, comments=True)[1:]
    except ValueError:  # half a quotation: not a command
        return False
    words = ["1" if word.strip("\"'.,") in PLACEHOLDERS else word for word in words]
    found = typer.main.get_command(app)
    context = found.make_context("mimamori", [], resilient_parsing=True)
    while hasattr(found, "get_command"):
        if not words:
            return True
        below = found.get_command(context, words.pop(0))
        if below is None:
            return False
        found, context = below, below.make_context(below.name, [], parent=context, resilient_parsing=True)
    names: dict[str, Any] = {
        name: each for each in found.params for name in (*each.opts, *each.secondary_opts)
    }
    names |= {"--help": None}
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            continue  # an argument, or the value of an option
        name, _, given = word.partition("=")
        if name not in names:
            return False
        if given and getattr(names[name], "is_flag", False):
            return False
    return True


def shell(source: str) -> Iterator[str]:
    """Each `mimamori` command of a block, without what stands before or after it on its line."""
    for line in re.sub(r"\\\n\s*", " ", source).splitlines():
        for part in re.split(r"\||;|&&|\$\(|\)|(?<!\d)>{1,2}|2>{1,2}|<", line.partition(" # ")[0]):
            if found := COMMAND.search(part.strip()):
                yield " ".join(found[1].split())


def commands(text: str) -> Iterator[str]:
    for language, source in FENCE.findall(text):
        if language in {"sh", "bash", "console"}:
            yield from shell(source)
    for inline in INLINE.findall(FENCE.sub("", text)):
        if re.match(r"mimamori [a-z]", inline):
            yield from shell(inline)


def faults(text: str) -> Iterator[str]:
    yield from faults_of_commands(text)
    yield from faults_of_scripts(text)
    yield from faults_of_names(text)
    if re.search(r"pip3? install[^\n`]*[ '\"]mimamori\b", code(text)):
        yield "mimamori on PyPI is somebody else's program: write pip install '.[…]'"


def faults_of_scripts(text: str) -> Iterator[str]:
    """Of our modules that a page runs by `python -m`: the module, and its options, as words of its source."""
    shown = re.sub(r"\\\n\s*", " ", code(text))
    for file in re.findall(r"python3? ((?:bench|ops|schemas|mimamori)/\S+\.py)", shown):
        yield f"imports nothing of ours if it is run so: {file}"
    for module, options in re.findall(
        r"python3? -m ((?:bench|docs|ops|schemas|mimamori)[.\w]*)([^\n`#|]*)", shown
    ):
        folder = ROOT.joinpath(*module.split("."))
        source = next(
            (file for file in (folder.with_suffix(".py"), folder / "__main__.py") if file.exists()), None
        )
        if source is None:
            yield f"no such module: {module}"
            continue
        said = source.read_text("utf-8")
        for option in re.findall(r"(?<!\S)\[?(--[a-z-]+)", options):
            if f'"{option}"' not in said:
                yield f"{module} has no such option: {option}"


def faults_of_commands(text: str) -> Iterator[str]:
    for command in commands(text):
        if not is_understood(command):
            yield f"no such command: {command}"
    for word in re.findall(r"(?:^|[`\s])make ([a-z][a-z-]+)(?=[`\s])", code(text)):
        if word not in words_of_make():
            yield f"no such word: make {word}"


def faults_of_names(text: str) -> Iterator[str]:
    for name in re.findall(r"\bMIMAMORI_[A-Z0-9_]*[A-Z0-9]\b(?!_)", text):
        if name not in settings() | OUTSIDE:
            yield f"no such setting: {name}"
    for name in re.findall(r"\bmimamori_[a-z0-9_]*[a-z0-9]\b(?![_.(/])", code(text)):
        if not {name, re.sub(r"_(bucket|count|sum)$", "", name)} & (metrics() | OUTSIDE):
            yield f"no such metric: {name}"
    for path in re.findall(r"`([a-z]\w*(?:\.\w+)+)(?:: [^`]*)?`", text):
        steps = path.split(".")
        ours = steps[0] in values()["properties"] and steps[-1] not in FILES
        if ours and not is_value(steps, values()):
            yield f"the chart has no such value: {path}"


def code(text: str) -> str:
    """Code of a text, inline or in blocks, each on lines of its own."""
    blocks = [source for language, source in FENCE.findall(text) if language in {"sh", "bash", "console"}]
    return "\n".join([*blocks, *(f"`{each}`" for each in INLINE.findall(FENCE.sub("", text)))])


@cache
def words_of_make() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@cache
def settings() -> set[str]:
    parts = (("", Settings), ("REVIEW_", ReviewSettings), ("FRONT_", FrontSettings))
    return {f"MIMAMORI_{part}{name.upper()}" for part, known in parts for name in known.model_fields}


@cache
def metrics() -> set[str]:
    names = {metric.name for metric in (*CATALOGUE, *DESK, *FRONT)}
    shadows = {name.replace("mimamori_", "mimamori_shadow_", 1) for name in names}
    return names | shadows | {"mimamori_shadow_passed_over_total"}


@cache
def values() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((ROOT / "helm/values.schema.json").read_text("utf-8"))
    return schema


def is_value(path: list[str], schema: dict[str, Any]) -> bool:
    while "$ref" in schema:
        found: Any = values()
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    if not path:
        return True
    inside = schema.get("properties", {})
    if path[0] in inside:
        return is_value(path[1:], inside[path[0]])
    return schema.get("additionalProperties", True) is not False and not inside


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_exists(page: Path) -> None:
    assert list(faults(page.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("```sh\nmimamori run --shadows\n```", "no such command: mimamori run --shadows"),
        ("```sh\nA=b mimamori topics \\\n  make\n```", "no such command: mimamori topics make"),
        ("```sh\nx=$(mimamori bundle shows b | wc)\n```", "no such command: mimamori bundle shows b"),
        (
            "```sh\npip install -U 'mimamori[plot]'\n```",
            "mimamori on PyPI is somebody else's program: write pip install '.[…]'",
        ),
        ("see `mimamori replays`", "no such command: mimamori replays"),
        ("`make tests`", "no such word: make tests"),
        ("`python bench/stream.py`", "imports nothing of ours if it is run so: bench/stream.py"),
        ("```sh\npython -m bench.streams\n```", "no such module: bench.streams"),
        ("`python -m bench.stream --recorded 7`", "bench.stream has no such option: --recorded"),
        ("`MIMAMORI_BUNDLES`", "no such setting: MIMAMORI_BUNDLES"),
        ("`MIMAMORI_REVIEW_FOLDERS`", "no such setting: MIMAMORI_REVIEW_FOLDERS"),
        ("`mimamori_label_total`", "no such metric: mimamori_label_total"),
        ("`worker.autoscaling.lag`", "the chart has no such value: worker.autoscaling.lag"),
    ],
)
def test_what_does_not_exist_is_seen(shown: str, said: str) -> None:
    assert list(faults(shown)) == [said]
