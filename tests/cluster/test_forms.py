"""The workers' other forms: static members of a StatefulSet, and the autoscaler of Kubernetes itself."""

import pytest
from confluent_kafka.admin import AdminClient

from engine.bundle import Bundle
from tests.cluster.helm import RefusedError
from tests.cluster.load import await_that
from tests.cluster.release import Release, ReleaseOf, is_ready

INSTALLED_S = "--timeout=300s"


def places(release: Release) -> dict[str, set[int]]:
    """What each static member of the group reads, by its own name."""
    admin = AdminClient({"bootstrap.servers": release.cluster.bootstrap})
    group = admin.describe_consumer_groups([release.name], request_timeout=10)[release.name].result()
    return {
        str(member.group_instance_id): {place.partition for place in member.assignment.topic_partitions}
        for member in group.members
    }


@pytest.mark.timeout(900)
def test_static_members_with_a_fetched_bundle_come_back_to_their_partitions(release: ReleaseOf) -> None:
    mine = release("static")
    worker = {"replicas": 2, "staticMembership": {"enabled": True, "sessionTimeoutSeconds": 300}}
    values = mine.values(worker=worker)
    fetch = "import shutil; shutil.copytree('/store/tiny', '/bundle/current', dirs_exist_ok=True)"
    values["bundle"] = {
        "source": "fetch",
        "fingerprint": Bundle.load(mine.cluster.bundle).fingerprint,
        "fetch": {
            "image": "mimamori@sha256:" + "0" * 64,
            "command": ["python", "-c"],
            "args": [fetch],
            "volumes": [
                {"name": "store", "persistentVolumeClaim": {"claimName": "bundles", "readOnly": True}}
            ],
            "volumeMounts": [{"name": "store", "mountPath": "/store", "readOnly": True}],
        },
    }
    try:
        mine.helm.install(mine.name, values, INSTALLED_S)
    except RefusedError:
        print(*(pod["status"] for pod in mine.pods()), mine.logs(), sep="\n")
        raise
    mine.helm.run("test", mine.name, "--timeout=60s")
    first = mine.pods()
    for pod in first:
        ends = [each["state"]["terminated"]["exitCode"] for each in pod["status"]["initContainerStatuses"]]
        assert ends == [0, 0], mine.logs()
    named = {f"{mine.name}.{mine.name}-mimamori-worker-{number}" for number in range(2)}
    await_that(
        lambda: places(mine).keys() == named and sorted(map(len, places(mine).values())) == [3, 3],
        "two static members with three partitions each",
        120,
    )
    before = places(mine)

    values["worker"]["podAnnotations"] = {"example.org/changed": "once"}
    mine.helm.upgrade(mine.name, values, INSTALLED_S)
    second = mine.pods()
    assert [is_ready(pod) for pod in second] == [True, True]
    assert not {pod["metadata"]["uid"] for pod in first} & {pod["metadata"]["uid"] for pod in second}
    assert {pod["metadata"]["name"] for pod in first} == {pod["metadata"]["name"] for pod in second}
    await_that(lambda: places(mine) == before, f"the partitions that each had: {before}", 120)


@pytest.mark.timeout(600)
def test_an_autoscaler_without_keda_starts_its_least_and_an_upgrade_leaves_it_the_number(
    release: ReleaseOf,
) -> None:
    """There is no metrics server here: what it makes of the CPU is not seen."""
    mine = release("hpa")
    values = mine.values(worker={"replicas": 1, "hpa": {"enabled": True, "minReplicas": 2}})
    mine.helm.install(mine.name, values, INSTALLED_S)
    await_that(lambda: [is_ready(pod) for pod in mine.pods()] == [True, True], "its two workers", 240)
    mine.helm.run("test", mine.name, "--timeout=60s")
    values["worker"]["settings"] = {"max_wait_ms": 20}
    mine.helm.upgrade(mine.name, values, INSTALLED_S)
    path = f"/apis/apps/v1/namespaces/{mine.name}/deployments/{mine.name}-mimamori-worker"
    assert mine.cluster.api.get(path)["spec"]["replicas"] == 2
