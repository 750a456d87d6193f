"""Renders the chart, and finds its way in what comes out."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.toolbox import REPOSITORY, Toolbox

CHART = REPOSITORY / "helm"
PROFILES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
NEWEST, OLDEST = "1.37.0", "1.29.0"

Manifest = dict[str, Any]


class RenderError(Exception):
    """helm refused; its own words."""


@dataclass(frozen=True)
class Renderer:
    """Renders a profile of helm/ci, each combination once."""

    toolbox: Toolbox
    _known: dict[tuple[Any, ...], list[Manifest]] = field(default_factory=dict)

    def __call__(
        self, profile: str, *changed: str, chart: Path = CHART, kubernetes: str = NEWEST
    ) -> list[Manifest]:
        """The manifests, with `changed` values as `path=json`. Raises RenderError where helm refuses."""
        key = (profile, changed, chart, kubernetes)
        if key not in self._known:
            values = CHART / "ci" / f"{profile}-values.yaml"
            sets = [part for change in changed for part in ("--set-json", change)]
            release = ("template", "watch", chart, "--namespace", "safety", "--kube-version", kubernetes)
            done = self.toolbox.helm(*release, "--values", values, *sets)
            if done.returncode:
                raise RenderError(done.stderr)
            self._known[key] = [document for document in yaml.safe_load_all(done.stdout) if document]
        return self._known[key]


def of_kind(manifests: Iterable[Manifest], kind: str, component: str | None = None) -> Manifest:
    """The one manifest of a kind (and component). Raises ValueError where there is none, or more."""
    (only,) = all_of_kind(manifests, kind, component)
    return only


def all_of_kind(manifests: Iterable[Manifest], kind: str, component: str | None = None) -> list[Manifest]:
    """Every manifest of a kind (and component)."""
    return [item for item in manifests if item["kind"] == kind and component in {None, component_of(item)}]


def component_of(manifest: Manifest) -> str:
    """worker, shadow, front, review, topics, schemas or test."""
    labels: Mapping[str, str] = manifest["metadata"]["labels"]
    return labels["app.kubernetes.io/component"]


def pod_specs(manifests: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod's component and spec."""
    for item in manifests:
        if item["kind"] == "Pod":
            yield component_of(item), item["spec"]
        elif item["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield component_of(item), item["spec"]["template"]["spec"]


def pod_of(manifests: Iterable[Manifest], component: str) -> Manifest:
    """The one pod spec of a component."""
    return dict(pod_specs(manifests))[component]


def containers(pod: Manifest) -> list[Manifest]:
    """Init containers and containers."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment(
    container: Manifest, manifests: Iterable[Manifest], secrets: Mapping[str, str]
) -> dict[str, str]:
    """What the container would see; `secrets` maps a secret's key to its value."""
    maps = {item["metadata"]["name"]: item["data"] for item in manifests if item["kind"] == "ConfigMap"}
    seen: dict[str, str] = {}
    for source in container.get("envFrom", []):
        seen |= maps[source["configMapRef"]["name"]]
    for variable in container.get("env", []):
        if "value" in variable:
            # As the kubelet does: a variable sees only what stands before it.
            seen[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda name: seen[name[1]], variable["value"])
        elif "secretKeyRef" in variable["valueFrom"]:
            seen[variable["name"]] = secrets[variable["valueFrom"]["secretKeyRef"]["key"]]
        elif "resourceFieldRef" in variable["valueFrom"]:
            kind, name = variable["valueFrom"]["resourceFieldRef"]["resource"].split(".")
            seen[variable["name"]] = str(container["resources"][kind][name])  # whole CPUs in all profiles
        else:
            seen[variable["name"]] = "from-the-pod"
    return seen
