"""The Dockerfile: hadolint's word, what it may not hold, and that it, chart and package agree."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from engine.quiet import SWITCHES
from tests.deploy.toolbox import REPOSITORY, Toolbox

DOCKERFILE = REPOSITORY / "Dockerfile"
TEXT = DOCKERFILE.read_text()
REQUIREMENTS = REPOSITORY / "requirements"


def test_hadolint_has_nothing_to_say(toolbox: Toolbox) -> None:
    assert toolbox.hadolint(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ("FROM python:latest\n", "DL3007"),
        ("FROM python:3.11-slim\nRUN apt-get install -y curl\n", "DL3008"),
        ("FROM python:3.11-slim\nRUN cd /tmp && ls\n", "DL3003"),
        ("FROM python:3.11-slim\nCMD mimamori run\n", "DL3025"),
        ("FRM python:3.11-slim\n", "unexpected"),
    ],
)
def test_hadolint_gate_refuses(toolbox: Toolbox, tmp_path: Path, bad: str, rule: str) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(bad)
    assert rule in "\n".join(toolbox.hadolint(dockerfile))


def test_never_runs_as_root() -> None:
    assert re.findall(r"^USER (.+)$", TEXT, re.MULTILINE) == ["10001:10001"]


def test_telemetry_is_off_for_whatever_is_started_in_it() -> None:
    for name, value in SWITCHES.items():
        assert f"    {name}={value} \\\n" in TEXT


def test_names_no_registry_and_installs_no_torch() -> None:
    assert not re.search(r"https?://(?!127\.0\.0\.1)", TEXT)
    assert "--index-url" not in TEXT
    for extra in ("cpu", "gpu"):
        assert not re.search(
            r"^(torch|transformers)==", (REQUIREMENTS / f"{extra}.txt").read_text(), re.MULTILINE
        )


def test_everything_fetched_is_fetched_by_its_hash() -> None:
    """Each install is of files whose hashes stand here, or of the wheel just built."""
    installs = re.findall(r"pip (?:install|wheel) ([^\n]*)", TEXT)
    assert len(installs) == 5
    for options in installs:
        assert "--no-deps" in options
        assert "--require-hashes" in options or "/wheels" in options
    for file in sorted(REQUIREMENTS.glob("*.txt")):
        pinned = re.split(r"^(?=[a-z])", file.read_text(), flags=re.MULTILINE)[1:]
        assert pinned
        for block in pinned:
            assert re.match(r"[a-z0-9._-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", block, re.DOTALL), block[:60]


def test_the_base_image_is_named_by_its_digest() -> None:
    (image,) = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", TEXT, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", image)
    assert set(re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_everything_copied_is_sent_to_the_builder() -> None:
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE)
        for source in line.split()[:-1]
    }
    ignore = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert copied == {line.removeprefix("!") for line in ignore if line.startswith("!")}
    packages = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wheel = packages["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(wheel) <= copied
    assert all((REPOSITORY / source).exists() for source in copied)


def test_it_holds_no_tool_that_starts_servers_or_kills_workers(tmp_path: Path) -> None:
    """What the builder is sent is copied, and the command run from there."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    left_out = [line.replace("**/", "") for line in lines if line and line[0] not in "!#*"]
    left_out += ["__pycache__"]
    assert {"mimamori/demo", "mimamori/sandbox", "mimamori/soak"} <= set(left_out)
    for line in lines:
        source = REPOSITORY / line.removeprefix("!")
        if line.startswith("!") and source.is_dir():
            shutil.copytree(
                source,
                tmp_path / source.name,
                ignore=lambda folder, names: [
                    name for name in names if f"{Path(folder).name}/{name}" in left_out or name in left_out
                ],
            )
    assert not (tmp_path / "mimamori" / "soak").exists()
    there = {"PYTHONPATH": str(tmp_path), "COLUMNS": "100"}
    told = subprocess.run(
        [sys.executable, "-m", "mimamori", "--help"],
        cwd=tmp_path,
        env=os.environ | there,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    offered = set(re.findall(r"^│ ([a-z]+) ", told, re.MULTILINE))
    assert {"run", "doctor", "topics", "review", "bundle"} <= offered
    assert not {"demo", "sandbox", "soak"} & offered
    killers = [path for path in tmp_path.rglob("*.py") if "SIGKILL" in path.read_text()]
    assert [str(path.relative_to(tmp_path)) for path in killers] == []


def test_versions_agree() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((REPOSITORY / "helm" / "Chart.yaml").read_text())
    assert chart["appVersion"] == version
    assert f"ARG VERSION={version}" in TEXT
    assert f"image: mimamori:{version}-cpu" in (REPOSITORY / "docker-compose.yml").read_text()
