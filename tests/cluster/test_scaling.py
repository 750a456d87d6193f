"""KEDA, and workers that come and go with the lag."""

import json
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cluster.helm import CHART
from tests.cluster.load import SETTINGS, Load, await_that
from tests.cluster.release import Release, ReleaseOf, is_ready

MOST = 6
INSTALLED_S = "--timeout=300s"
AT_ONCE = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": MOST, "periodSeconds": 1}]}
# One record a transaction: slow enough for a lag that lasts until the autoscaler has seen it.
SLOW = {**SETTINGS, "max_records": 1}


def scaled(release: Release, **changed: Any) -> dict[str, Any]:
    autoscaling = {
        "enabled": True,
        "minReplicas": 0,
        "maxReplicas": MOST,
        "lagThreshold": 100,
        "activationLagThreshold": 5,
        "pollingInterval": 1,
        "cooldownPeriod": 5,
        "fallback": {"failureThreshold": 4, "replicas": 1},
        "behavior": {"scaleUp": AT_ONCE, "scaleDown": AT_ONCE},
        **changed,
    }
    return release.values(worker={"settings": SLOW, "autoscaling": autoscaling})


def replicas(release: Release) -> int:
    path = f"/apis/apps/v1/namespaces/{release.name}/deployments/{release.name}-mimamori-worker"
    return int(release.cluster.api.get(path)["spec"]["replicas"])


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_keda")
def test_from_none_to_six_and_back_and_no_message_is_lost(release: ReleaseOf) -> None:
    mine = release("scale")
    mine.helm.install(mine.name, scaled(mine), INSTALLED_S)
    await_that(lambda: mine.pods() == [], "no worker where there is no message", 120)
    mine.helm.run("test", mine.name, "--timeout=60s")
    with Load(mine, 12_000, a_second=100_000) as load:
        await_that(lambda: sum(map(is_ready, mine.pods())) == MOST, "six ready workers", 240)
        assert load.lasts  # it was this lag that started them
        load.rest(300)
        await_that(lambda: replicas(mine) == 0 and mine.pods() == [], "no worker again", 240)
        verdict = load.verdict()
    assert verdict.sound, verdict
    assert verdict.seen == load.records


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_keda")
@pytest.mark.parametrize("version", ["3", "4"])
def test_an_upgrade_leaves_the_number_of_workers_to_keda(
    release: ReleaseOf, tmp_path: Path, version: str
) -> None:
    """With a chart that says `replicas` beside KEDA it is not so, which is how this test can fail."""
    mine = release(f"kept-{version}", version)
    mine.helm.install(mine.name, mine.values(worker={"replicas": 2, "settings": SLOW}), INSTALLED_S)
    three = scaled(mine, minReplicas=3)
    assert fewest_during(mine, three, CHART) == 1  # docs/how-to/deploy.md says so
    await_that(lambda: replicas(mine) == 3, "as many as KEDA wants", 60)
    three["worker"]["podAnnotations"] = {"example.org/changed": "once"}
    assert fewest_during(mine, three, CHART) == 3
    careless = tmp_path / "helm"
    shutil.copytree(CHART, careless)
    worker = careless / "templates" / "worker.yaml"
    guard = "{{- if not (or $worker.autoscaling.enabled $worker.hpa.enabled) }}"
    assert guard in worker.read_text()
    worker.write_text(worker.read_text().replace(guard, "{{- if true }}"))
    three["worker"] |= {"replicas": 1, "podAnnotations": {"example.org/changed": "twice"}}
    assert fewest_during(mine, three, careless) == 1


class WorkSays:
    """Answers as Prometheus does, whatever it is asked: the seconds of work that it is told."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.asked: set[str] = set()
        told = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.asked |= set(parse_qs(urlsplit(self.path).query)["query"])
                sample = {"metric": {}, "value": [time.time(), str(told.seconds)]}
                data = {"resultType": "vector", "result": [sample]}
                body = json.dumps({"status": "success", "data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_keda")
def test_seconds_of_work_start_workers_that_the_lag_would_not(release: ReleaseOf) -> None:
    mine = release("work")
    with WorkSays() as prometheus:
        work = {"enabled": True, "prometheus": prometheus.url, "threshold": 30}
        values = scaled(mine, minReplicas=1, lagThreshold=100_000, secondsOfWork=work)
        values["prometheusRule"] = {"job": "workers"}
        mine.helm.install(mine.name, values, INSTALLED_S)
        await_that(lambda: prometheus.asked, "KEDA to ask", 120)
        assert prometheus.asked == {'sum(mimamori_work_seconds{job="workers"})'}
        assert replicas(mine) == 1
        prometheus.seconds = 80.0
        await_that(lambda: replicas(mine) == 3, "a worker for each 30 seconds of work", 240)
        prometheus.seconds = 0.0
        await_that(lambda: replicas(mine) == 1, "the least again", 240)


def fewest_during(release: Release, values: dict[str, Any], chart: Path) -> int:
    """The lowest number of workers that the Deployment asked for during an upgrade, by its own history."""
    path = f"/apis/apps/v1/namespaces/{release.name}/deployments"
    since = release.cluster.api.get(path)["metadata"]["resourceVersion"]
    release.helm.upgrade(release.name, values, INSTALLED_S, chart=chart)
    seen: list[int] = [
        found["spec"]["replicas"]
        for kind, found in release.cluster.api.watch(path, since, 2)
        if kind == "MODIFIED"
    ]
    return min(seen)
