"""The chart, installed by Helm 3 or 4 as an operator would; and kubectl."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import yaml

from tests.cluster.programs import REPOSITORY, call, program

CHART = REPOSITORY / "helm"


class RefusedError(Exception):
    """helm or kubectl ended with an error; its own words."""


@dataclass(frozen=True)
class Helm:
    """One release of Helm against one cluster. `folder` keeps what it writes."""

    binary: Path
    kubeconfig: Path
    folder: Path
    namespace: str

    def install(self, name: str, values: Mapping[str, Any], *options: str, chart: Path = CHART) -> str:
        """`helm install --wait`. Raises RefusedError."""
        return self.run("install", name, chart, "--wait", *self._values(values), *options)

    def upgrade(self, name: str, values: Mapping[str, Any], *options: str, chart: Path = CHART) -> str:
        """`helm upgrade --wait`. Raises RefusedError."""
        return self.run("upgrade", name, chart, "--wait", *self._values(values), *options)

    def run(self, *arguments: str | Path) -> str:
        """Any command, in the namespace. Raises RefusedError."""
        homes = {f"HELM_{kind}_HOME": str(self.folder / "helm") for kind in ("CACHE", "CONFIG", "DATA")}
        common: list[str | Path] = ["--kubeconfig", self.kubeconfig, "--namespace", self.namespace]
        return _told(call([self.binary, *arguments, *common], homes))

    def _values(self, values: Mapping[str, Any]) -> Sequence[str | Path]:
        path = self.folder / "values.yaml"
        path.write_text(yaml.safe_dump(dict(values)))
        return "--values", path


def kubectl(kubeconfig: Path, *arguments: str) -> str:
    """Run kubectl. Raises RefusedError."""
    return _told(call([program("kubectl"), "--kubeconfig", kubeconfig, *arguments], {}))


def _told(done: CompletedProcess[str]) -> str:
    if done.returncode:
        raise RefusedError(done.stderr.strip() or done.stdout.strip())
    return done.stdout
