"""Prometheus and promtool, from Debian's package `prometheus`, which no package of Python brings."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

ROUND_S = 0.25  # between two scrapes, and between two evaluations of the rules


def installed(program: str) -> str:
    """The program's path; the test fails where it is not there."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(
            f"no {program}: apt-get install prometheus (Debian's package; `make test` as root does it)"
        )
    return found


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    command = [installed("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


class Prometheus:
    """A real Prometheus, asked over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **asked: str) -> Any:
        """The `data` of an answer of its API."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(asked)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        found: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health and, if it is an alert, its state."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]


@contextmanager
def running_prometheus(folder: Path, rules: Path, targets: Mapping[str, int]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes each job's port, and evaluates the rules, every ROUND_S."""
    often = f"{ROUND_S * 1000:.0f}ms"
    config = {
        "global": {"scrape_interval": often, "scrape_timeout": often, "evaluation_interval": often},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in targets.items()
        ],
    }
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (folder / "prometheus.log").open("wb")
    server = subprocess.Popen(
        [
            installed("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=log,
        stderr=log,
    )
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 30
        while not _ready(prometheus):
            assert server.poll() is None, (folder / "prometheus.log").read_text()
            assert time.monotonic() < deadline, "Prometheus did not start"
            time.sleep(0.05)
        yield prometheus
    finally:
        server.kill()
        server.wait()
        log.close()


def _ready(prometheus: Prometheus) -> bool:
    try:
        with urlopen(f"{prometheus.url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
