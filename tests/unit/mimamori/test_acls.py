"""What `mimamori topics acls` prints grants the list of rights, no more and no less, in either form."""

import shlex
from collections.abc import Sequence
from itertools import pairwise

import pytest
import yaml
from typer.testing import CliRunner

from engine.errors import SettingsError
from mimamori.cli import app
from schemas.rights import PARTS, Names, Part, Right, missing, rights_of

every_part = pytest.mark.parametrize("part", PARTS)
NAMES = Names("safety.", "screeners", "ns.release", "watchers")
OPTIONS = ["--prefix", "safety.", "--group", "screeners", "--transactional-id", "ns.release"]
OPTIONS += ["--platform-group", "watchers"]

Granted = set[tuple[str, str, str, bool]]


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["topics", "acls", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def as_granted(rights: Sequence[Right]) -> Granted:
    return {(right.resource, right.name, right.operation, right.prefix) for right in rights}


def of_commands(text: str) -> Granted:
    granted: Granted = set()
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        values: dict[str, list[str]] = {}
        for option, value in pairwise(words):
            values.setdefault(option, []).append(value)
        prefix = values.get("--resource-pattern-type") == ["prefixed"]
        for resource in ("topic", "group", "transactional-id"):
            granted |= {
                (resource, name, operation, prefix)
                for name in values.get(f"--{resource}", [])
                for operation in values["--operation"]
            }
    return granted


@every_part
def test_the_commands_grant_exactly_the_rights(part: Part) -> None:
    text = printed(part, *OPTIONS)
    assert of_commands(text) == as_granted(rights_of(part, NAMES))
    assert text.count(f"--allow-principal 'User:mimamori-{part}'") == text.count("kafka-acls.sh")


@every_part
def test_the_strimzi_user_has_exactly_the_rights(part: Part) -> None:
    user = yaml.safe_load(printed(part, "--format", "strimzi", "--principal", f"{part}=User:mine", *OPTIONS))
    assert (user["kind"], user["metadata"]["name"]) == ("KafkaUser", "mine")
    types = {"topic": "topic", "group": "group", "transactionalId": "transactional-id"}
    granted = {
        (types[acl["resource"]["type"]], acl["resource"]["name"], operation, prefix)
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
        for prefix in [acl["resource"]["patternType"] == "prefix"]
    }
    assert granted == as_granted(rights_of(part, NAMES))


def test_without_a_part_all_are_printed() -> None:
    text = printed()
    assert [line.split(":")[0][2:] for line in text.splitlines() if line.startswith("# ")] == list(PARTS)


@pytest.mark.parametrize("wrong", [["nobody"], ["--principal", "worker"], ["--principal", "worker=ana"]])
def test_what_is_misspelt_is_said(wrong: list[str]) -> None:
    with pytest.raises(SettingsError):
        printed(*wrong)


def test_only_the_desk_may_write_what_people_decided() -> None:
    signed = {"mimamori.review-decisions", "mimamori.case-events", "mimamori.review-audit"}
    for part in PARTS:
        written = {right.name for right in rights_of(part) if right.operation == "Write"}
        assert (written & signed == signed) == (part == "desk")
        assert part == "desk" or not written & signed


def test_nobody_but_workers_may_write_labels() -> None:
    assert [
        part
        for part in PARTS
        if Right("topic", "mimamori.labels", "Write", "one for each message") in rights_of(part)
    ] == ["worker"]


def test_what_kafka_does_not_tell_is_not_called_missing() -> None:
    rights = rights_of("scaler")
    assert missing(rights, {}) == []
    assert missing(rights, {("group", "mimamori"): frozenset()}) == [rights[1]]
