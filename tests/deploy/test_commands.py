"""Chart and compose file start containers with commands that `mimamori` has."""

from typing import Any

import pytest
from typer.testing import CliRunner

from mimamori.cli import app
from tests.deploy.chart import PROFILES, Renderer, containers, pod_specs
from tests.deploy.test_compose import FILE, GIVEN
from tests.deploy.toolbox import Toolbox


def is_understood(arguments: list[str]) -> bool:
    # Options are parsed before --help is answered, so an unknown one is still an error.
    return CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    "wrong",
    [["topics", "make"], ["topics", "apply", "--replicas=3"], ["bundle", "build", "stress", "--into", "x"]],
)
def test_a_wrong_command_is_seen(wrong: list[str]) -> None:
    assert not is_understood(wrong)


@pytest.mark.parametrize("profile", PROFILES)
def test_chart_commands_exist(render: Renderer, profile: str) -> None:
    commands = [
        container["args"]
        for component, pod in pod_specs(render(profile))
        for container in containers(pod)
        if component != "test"  # runs python
        and container["name"] not in {"fetch", "wait"}  # images of other people
    ]
    assert commands
    assert [command for command in commands if not is_understood(command)] == []


def test_compose_commands_exist(toolbox: Toolbox) -> None:
    services: dict[str, Any] = toolbox.compose(FILE, GIVEN)["services"]
    commands = [service["command"] for name, service in services.items() if name not in {"kafka", "redis"}]
    assert len(commands) == 4
    assert [command for command in commands if not is_understood(command)] == []
