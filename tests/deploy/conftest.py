"""The toolbox and the renderer, one of each for the whole run."""

import pytest

from tests.deploy.chart import Renderer
from tests.deploy.toolbox import Toolbox, open_toolbox, supported


@pytest.fixture(scope="session")
def toolbox() -> Toolbox:
    if not supported():
        pytest.skip("the pinned helm, docker-compose and hadolint are for Linux on x86-64")
    return open_toolbox()


@pytest.fixture(scope="session")
def render(toolbox: Toolbox) -> Renderer:
    return Renderer(toolbox)
