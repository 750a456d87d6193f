"""docker-compose.yml: what docker-compose and the specification's schema say, and what it promises."""

import os
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from engine.errors import SettingsError
from front.settings import load_front_settings
from review.settings import ReviewSettings
from review.settings import load_settings as load_review
from tests.deploy.toolbox import REPOSITORY, Toolbox
from worker.settings_source import load_settings as load_worker

FILE = REPOSITORY / "docker-compose.yml"
GIVEN = {
    "MIMAMORI_CACHE_SECRET": "0123456789abcdef",
    "MIMAMORI_REVIEW_TABLE_KEYS": "cmF0aGVyIGEgc2VudGVuY2UgdGhhbiBhIGtleSAuLi4=",
}
WITH_FRONT = GIVEN | {"COMPOSE_PROFILES": "front", "MIMAMORI_FRONT_TOKENS": "0123456789abcdef"}
OURS = {"topics", "bundle", "worker", "front", "review"}


@pytest.fixture(scope="module")
def services(toolbox: Toolbox) -> dict[str, Any]:
    found: dict[str, Any] = toolbox.compose(FILE, WITH_FRONT)["services"]
    return found


@pytest.fixture(scope="module")
def schema(toolbox: Toolbox) -> Validator:
    contract = toolbox.compose_schema()
    # The dialect it names: read as an older one, it finds nothing wrong with anything.
    return validator_for(contract)(contract)


def test_is_what_the_specification_allows(schema: Validator) -> None:
    assert list(schema.iter_errors(yaml.safe_load(FILE.read_text()))) == []


def _misspell(compose: dict[str, Any]) -> None:
    compose["services"]["worker"]["depend_on"] = ["topics"]


def _wrong_condition(compose: dict[str, Any]) -> None:
    compose["services"]["worker"]["depends_on"]["topics"]["condition"] = "service_done"


@pytest.mark.parametrize("spoil", [_misspell, _wrong_condition])
def test_specification_gate_refuses(schema: Validator, spoil: Callable[[dict[str, Any]], None]) -> None:
    compose = deepcopy(yaml.safe_load(FILE.read_text()))
    spoil(compose)
    assert list(schema.iter_errors(compose)) != []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("depends_on:\n      topics:", "depends_on:\n      topic:", "undefined service"),
        ("- review:/var", "- reviews:/var", "undefined volume"),
    ],
)
def test_compose_gate_refuses(toolbox: Toolbox, tmp_path: Path, right: str, wrong: str, said: str) -> None:
    text = FILE.read_text()
    assert right in text
    bad = tmp_path / "docker-compose.yml"
    bad.write_text(text.replace(right, wrong))
    with pytest.raises(ValueError, match=said):
        toolbox.compose(bad, GIVEN)


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("MIMAMORI_CACHE_SECRET", "set it to 16 random characters or more"),
        ("MIMAMORI_REVIEW_TABLE_KEYS", "set it to what openssl rand -base64 32 prints"),
    ],
)
def test_wants_each_secret(toolbox: Toolbox, secret: str, says: str) -> None:
    # Compose names one of those that are missing, and not always the same.
    with pytest.raises(ValueError, match=says):
        toolbox.compose(FILE, {name: given for name, given in GIVEN.items() if name != secret})


def test_every_service_is_pinned_bounded_and_restarted(services: dict[str, Any]) -> None:
    assert services.keys() == OURS | {"kafka", "redis"}
    for service in services.values():
        assert re.search(r":\d+\.\d+\.\d+", service["image"])
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
        assert service["restart"] in {"unless-stopped", "on-failure:5"}
        assert "healthcheck" in service
    for name in OURS:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_there_is_a_front_only_where_it_is_asked_for_and_none_without_a_token(
    toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "front" not in toolbox.compose(FILE, GIVEN)["services"]
    without = toolbox.compose(FILE, GIVEN | {"COMPOSE_PROFILES": "front"})["services"]["front"]
    for variable, value in without["environment"].items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match="MIMAMORI_FRONT_TOKENS"):
        load_front_settings()


def test_starts_in_order(services: dict[str, Any]) -> None:
    def waits(name: str) -> dict[str, str]:
        return {other: how["condition"] for other, how in services[name].get("depends_on", {}).items()}

    assert waits("topics") == {"kafka": "service_healthy"}
    assert waits("worker") == {
        "topics": "service_completed_successfully",
        "bundle": "service_completed_successfully",
        "redis": "service_healthy",
    }
    assert waits("front") == {"bundle": "service_completed_successfully"}
    assert waits("review") == {"topics": "service_completed_successfully"}


def test_publishes_on_loopback_alone(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_settings_are_accepted(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def enter(name: str) -> None:
        for variable in [variable for variable in os.environ if variable.startswith("MIMAMORI_")]:
            monkeypatch.delenv(variable)
        for variable, value in services[name].get("environment", {}).items():
            monkeypatch.setenv(variable, value)

    for name in ("worker", "topics", "bundle"):
        enter(name)
        load_worker()  # refuses any name that is not a setting
    enter("worker")
    grace = services["worker"]["stop_grace_period"]
    assert grace == "40s"
    assert load_worker().drain_s + 5 <= 40
    enter("front")
    assert load_worker().drain_s + 5 <= 40
    front = load_front_settings()
    assert front.port == 8088
    assert front.known_tokens == {"0123456789abcdef"}
    enter("review")
    names = {name for name in os.environ if name.startswith("MIMAMORI_")}
    assert names <= {f"MIMAMORI_REVIEW_{name.upper()}" for name in ReviewSettings.model_fields}
    assert (load_review().port, load_review().health_port) == (6066, 6067)


def test_worker_reads_the_bundle_that_was_built(services: dict[str, Any]) -> None:
    built = services["bundle"]["command"]
    assert built[:2] == ["bundle", "build"]
    assert services["worker"]["environment"]["MIMAMORI_BUNDLE"] == built[built.index("--out") + 1]
    assert services["front"]["environment"]["MIMAMORI_BUNDLE"] == built[built.index("--out") + 1]
    assert services["front"]["volumes"] == services["worker"]["volumes"]
    (mount,) = services["worker"]["volumes"]
    assert (mount["source"], mount["target"], mount["read_only"]) == ("bundle", "/bundle", True)
