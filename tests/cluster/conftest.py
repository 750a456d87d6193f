"""One control plane, one kubelet and one Kafka for the whole run; a release of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mimamori.sandbox import Sandbox
from tests.cluster import network
from tests.cluster.control_plane import ControlPlane
from tests.cluster.helm import RefusedError
from tests.cluster.keda import start_keda
from tests.cluster.kubelet.agent import Kubelet
from tests.cluster.kubelet.images import Images, from_dockerfile
from tests.cluster.programs import NotBuiltError, program, tools
from tests.cluster.release import Cluster, Release, ReleaseOf
from tests.deploy.toolbox import open_toolbox
from tests.fakes.tiny_bundle import write_tiny_bundle

NODES = ("node-0", "node-1", "node-2")


def pytest_configure() -> None:
    if not network.is_apart():
        pytest.exit(
            "these tests need a network of their own: run them with `make cluster-test`", returncode=4
        )
    try:
        tools()
    except NotBuiltError as error:
        pytest.exit(str(error), returncode=4)
    network.prepare()


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), NODES) as running:
        yield running


@pytest.fixture(scope="session")
def cluster(
    plane: ControlPlane, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    bundle = write_tiny_bundle(folder / "bundles" / "tiny").path
    images = Images({"mimamori": from_dockerfile()})
    with Kubelet(plane.api, images, folder) as kubelet:
        yield Cluster(plane.api, kubelet, plane.kubeconfig, sandbox.bootstrap, bundle, folder)


@pytest.fixture(scope="session")
def _keda(plane: ControlPlane) -> None:
    start_keda(plane)


def _helm(version: str) -> Path:
    return program("helm3") if version == "3" else open_toolbox().folder / "bin" / "helm"


@pytest.fixture
def release(cluster: Cluster) -> Iterator[ReleaseOf]:
    """Makes a release by its name, which is uninstalled afterwards."""
    made: list[Release] = []

    def make(name: str, helm: str = "4") -> Release:
        made.append(Release(cluster, name, _helm(helm)))
        return made[-1]

    yield make
    for each in made:
        try:
            each.helm.run("uninstall", each.name, "--wait", "--ignore-not-found")
        except RefusedError as error:
            print(f"{each.name} could not be uninstalled: {error}")  # shown if the test fails
