"""The chart from its installation to its end, by both releases of Helm."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.cluster.helm import CHART, RefusedError
from tests.cluster.load import SETTINGS, Load
from tests.cluster.release import Release, ReleaseOf, is_ready

INSTALLED_S = "--timeout=300s"


def _with(values: Mapping[str, Any], part: str, **changed: Any) -> dict[str, Any]:
    return {**values, part: {**values[part], **changed}}


def _setting(release: Release, name: str) -> str:
    config = release.cluster.api.get(
        f"/api/v1/namespaces/{release.name}/configmaps/{release.name}-mimamori-worker"
    )
    return str(config["data"][f"MIMAMORI_{name.upper()}"])


def _rolled_out(release: Release) -> list[Any]:
    """Its workers, once none is left of the old ones.

    Helm 3 waits until the new ones are ready. Kubernetes stops the last old one `minReadySeconds` later; for
    that Helm 4 waits, too.
    """
    release.kubectl("rollout", "status", f"deployment/{release.name}-mimamori-worker", "--timeout=120s")
    return release.pods()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", ["3", "4"])
def test_installed_tested_upgraded_rolled_back_and_uninstalled(release: ReleaseOf, version: str) -> None:
    mine = release(f"life-{version}", version)
    values = mine.values(worker={"replicas": 2, "settings": {"max_wait_ms": 40}}, desk=True)
    mine.helm.install(mine.name, values, INSTALLED_S)
    topics = AdminClient({"bootstrap.servers": mine.cluster.bootstrap}).list_topics(timeout=10).topics
    assert len(topics[f"{mine.prefix}messages"].partitions) == 6
    first = mine.pods()
    assert [is_ready(pod) for pod in first] == [True, True]
    mine.helm.run("test", mine.name, "--timeout=60s")

    changed = _with(values, "worker", **values["worker"] | {"settings": {"max_wait_ms": 20}})
    mine.helm.upgrade(mine.name, changed, INSTALLED_S)
    second = _rolled_out(mine)
    assert [is_ready(pod) for pod in second] == [True, True]
    assert not {pod["metadata"]["uid"] for pod in first} & {pod["metadata"]["uid"] for pod in second}
    assert _setting(mine, "max_wait_ms") == "20"

    # A bundle that is not there: no new worker gets ready, helm says so, and the old ones go on.
    broken = _with(changed, "bundle", claim={"name": "bundles", "subPath": "none"})
    with pytest.raises(RefusedError):
        mine.helm.upgrade(mine.name, broken, "--timeout=15s")
    ready = {pod["metadata"]["uid"] for pod in mine.pods() if is_ready(pod)}
    assert ready == {pod["metadata"]["uid"] for pod in second}
    mine.helm.run("rollback", mine.name, "1", "--wait", INSTALLED_S)
    assert _setting(mine, "max_wait_ms") == "40"
    assert [is_ready(pod) for pod in _rolled_out(mine)] == [True, True]

    mine.helm.run("uninstall", mine.name, "--wait", INSTALLED_S)
    assert mine.pods("app.kubernetes.io/instance=" + mine.name) == []
    claims = mine.cluster.api.items(f"/api/v1/namespaces/{mine.name}/persistentvolumeclaims")
    assert f"{mine.name}-mimamori-review" in {claim["metadata"]["name"] for claim in claims}


@pytest.mark.timeout(600)
def test_the_defaults_build_the_real_bundle_in_an_init_container_and_screen(release: ReleaseOf) -> None:
    mine = release("recipe")
    values = mine.values(worker={"replicas": 1, "device": "auto", "settings": SETTINGS})
    del values["bundle"]
    mine.helm.install(mine.name, values, INSTALLED_S)
    (worker,) = mine.pods()
    (init,) = worker["status"]["initContainerStatuses"]
    assert init["state"]["terminated"]["exitCode"] == 0
    with Load(mine, 120, a_second=1000) as load:
        load.rest(240)
        mine.helm.run("uninstall", mine.name, "--wait", INSTALLED_S)
        verdict = load.verdict()
    assert verdict.sound, verdict


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["3", "4"])
def test_a_probe_that_never_passes_fails_the_installation(
    release: ReleaseOf, tmp_path: Path, version: str
) -> None:
    mine = release(f"never-{version}", version)
    wrong = tmp_path / "helm"
    shutil.copytree(CHART, wrong)
    worker = wrong / "templates" / "worker.yaml"
    assert '"readiness" "/readyz"' in worker.read_text()
    worker.write_text(worker.read_text().replace('"readiness" "/readyz"', '"readiness" "/nowhere"'))
    values = mine.values(worker={"replicas": 1})
    with pytest.raises(RefusedError, match=r"not ready|deadline exceeded|timed out"):
        mine.helm.install(mine.name, values, "--timeout=60s", chart=wrong)
    (pod,) = mine.pods()
    (worker_container,) = pod["status"]["containerStatuses"]
    assert worker_container["started"]  # it lives, and is only not ready
    assert not worker_container["ready"]
