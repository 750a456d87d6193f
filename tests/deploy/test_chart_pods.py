"""What the rendered manifests promise: confinement, drain, bundles, rollout."""

import json
import re

import pytest

from tests.deploy.chart import (
    PROFILES,
    Manifest,
    Renderer,
    all_of_kind,
    component_of,
    containers,
    environment,
    of_kind,
    pod_of,
    pod_specs,
)

SECRETS = {"redis-url": "", "cache-secret": ""}
OTHER_KEY = '"-----BEGIN PUBLIC KEY-----\\nMCow\\n-----END PUBLIC KEY-----\\n"'


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pod_is_confined(render: Renderer, profile: str) -> None:
    pods = list(pod_specs(render(profile)))
    assert {component for component, _ in pods} >= {"worker", "test"}
    for _, pod in pods:
        assert pod["automountServiceAccountToken"] is False
        # A Service named mimamori would else put MIMAMORI_PORT into the environment: the worker refuses it.
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["memory"]
            assert re.fullmatch(r".+(:(?!latest)[\w.-]+|@sha256:[0-9a-f]{64})", container["image"])


@pytest.mark.parametrize("profile", PROFILES)
def test_no_manifest_holds_a_credential(render: Renderer, profile: str) -> None:
    manifests = render(profile)
    assert all_of_kind(manifests, "Secret") == []
    for _, pod in pod_specs(manifests):
        for container in containers(pod):
            for variable in container.get("env", []):
                if re.search(r"USERNAME|PASSWORD|SECRET|REDIS_URL", variable["name"]):
                    is_file = variable["name"].endswith("_FILE")
                    assert is_file or set(variable["valueFrom"]) == {"secretKeyRef"}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_mount_has_its_volume(render: Renderer, profile: str) -> None:
    for _, pod in pod_specs(render(profile)):
        volumes = [volume["name"] for volume in pod.get("volumes", [])]
        mounted = [mount for container in containers(pod) for mount in container.get("volumeMounts", [])]
        assert len(set(volumes)) == len(volumes)
        assert {mount["name"] for mount in mounted} == set(volumes)


def test_probes_ask_the_right_questions(render: Renderer) -> None:
    ports_of = {
        "worker": {"http": 8080},
        "review": {"desk": 6066, "http": 6067},
        "front": {"api": 8088, "http": 8080},
    }
    for component, expected in ports_of.items():
        (container,) = pod_of(render("cpu"), component)["containers"]
        paths = {
            probe: container[f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "readiness", "liveness")
        }
        # Readiness may fail for as long as the broker is away; a restart for it would help nobody.
        assert paths == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert {container[f"{probe}Probe"]["httpGet"]["port"] for probe in paths} == {"http"}
        assert ports == expected
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


@pytest.mark.parametrize("profile", PROFILES)
def test_grace_exceeds_drain(render: Renderer, profile: str) -> None:
    manifests = render(profile)
    drain = float(of_kind(manifests, "ConfigMap", "worker")["data"]["MIMAMORI_DRAIN_S"])
    assert pod_of(manifests, "worker")["terminationGracePeriodSeconds"] >= drain + 5


def test_bundle_is_read_only_wherever_it_comes_from(render: Renderer) -> None:
    kinds = {
        "default": "emptyDir",
        "cpu": "persistentVolumeClaim",
        "gpu-keda": "image",
        "hpa-fetch": "emptyDir",
    }
    for profile, kind in kinds.items():
        pod = pod_of(render(profile), "worker")
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "bundle"]
        assert kind in volume
        (container,) = pod["containers"]
        (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "bundle"]
        assert mount["readOnly"] is True
        assert "/bundle/current".startswith(mount["mountPath"])
        assert ("initContainers" in pod) == (kind == "emptyDir")
    (init,) = pod_of(render("default"), "worker")["initContainers"]
    assert init["args"] == ["bundle", "build", "stress", "--out", "/bundle/current"]


@pytest.mark.parametrize("component", ["worker", "front"])
def test_a_bundle_from_an_object_store_is_verified_before_it_is_opened(
    render: Renderer, component: str
) -> None:
    pod = pod_of(render("hpa-fetch"), component)
    fetch, verify, *further = pod["initContainers"]
    assert [each["name"] for each in further] == (["wait"] if component == "worker" else [])
    assert re.fullmatch(r".+@sha256:4{64}", fetch["image"])
    assert (fetch["command"], fetch["args"]) == (
        ["sh", "-c"],
        ["s3 sync s3://bundles/stress/2026-11 /bundle/current"],
    )
    assert [variable["name"] for variable in fetch["env"]] == ["HOME", "ACCESS_KEY"]
    assert {"name": "bundle", "mountPath": "/bundle"} in fetch["volumeMounts"]
    assert verify["image"] == pod["containers"][0]["image"]
    assert verify["args"] == [
        "bundle",
        "verify",
        "/bundle/current",
        "--fingerprint=" + "8" * 64,
        "--public-key=/etc/mimamori/bundle/public.pem",
    ]
    for container in (verify, pod["containers"][0]):
        assert {"name": "bundle", "readOnly": True, "mountPath": "/bundle"} in container["volumeMounts"]
        assert {"name": "bundle-key", "readOnly": True, "mountPath": "/etc/mimamori/bundle"} in (
            container["volumeMounts"]
        )
    policy = of_kind(render("hpa-fetch"), "NetworkPolicy", component)["spec"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == ({53, 443, 9092, 9093} if component == "worker" else {53, 443})


def read_by(item: Manifest, manifests: list[Manifest]) -> str:
    """The ConfigMaps whose contents the pods of a workload read, as one text."""
    named = repr(item["spec"]["template"]["spec"])
    maps = all_of_kind(manifests, "ConfigMap")
    return repr([each["data"] for each in maps if f"'{each['metadata']['name']}'" in named])


@pytest.mark.parametrize(
    ("changed", "concerned"),
    [
        ("worker.settings.threads=3", {"worker"}),
        ("worker.settings.max_message_tokens=300", {"worker", "front"}),
        ('worker.group="another"', {"worker", "shadow"}),
        (f"bundle.publicKey={OTHER_KEY}", {"worker", "shadow", "front"}),
        ("worker.drainSeconds=30", {"worker", "shadow"}),
        ("review.settings.session_hours=8", {"review"}),
        ("front.settings.deadline_s=3", {"front"}),
    ],
)
def test_a_changed_setting_restarts_whom_it_concerns_and_nobody_else(
    render: Renderer, changed: str, concerned: set[str]
) -> None:
    before, after = render("cpu"), render("cpu", changed)
    restarted, reread = set(), set()
    for old, new in zip(all_of_kind(before, "Deployment"), all_of_kind(after, "Deployment"), strict=True):
        if old["spec"]["template"] != new["spec"]["template"]:
            restarted.add(component_of(old))
        if read_by(old, before) != read_by(new, after):
            reread.add(component_of(old))
    assert reread == concerned
    assert restarted == concerned


def test_static_members_keep_their_names_and_their_places(render: Renderer) -> None:
    manifests = render("static-strimzi")
    assert [component_of(item) for item in all_of_kind(manifests, "Deployment")] == ["review"]
    workers = of_kind(manifests, "StatefulSet")
    spec = workers["spec"]
    services = [item["metadata"]["name"] for item in all_of_kind(manifests, "Service", "worker")]
    assert [spec["serviceName"]] == services
    assert (spec["replicas"], spec["podManagementPolicy"]) == (4, "Parallel")
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    assert not {"strategy", "progressDeadlineSeconds"} & spec.keys()
    (container,) = pod_of(manifests, "worker")["containers"]
    seen = environment(container, manifests, SECRETS)
    assert json.loads(seen["MIMAMORI_KAFKA"]) == {
        "group.instance.id": "from-the-pod.from-the-pod",
        "session.timeout.ms": 90_000,
    }
    assert seen["MIMAMORI_TRANSACTIONAL_ID"] == "from-the-pod.from-the-pod"
    budget = of_kind(manifests, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    # By the newer protocol the brokers have the session's time, and the worker refuses to set it.
    newer = render("static-strimzi", 'worker.settings.group_protocol="consumer"')
    (container,) = pod_of(newer, "worker")["containers"]
    assert json.loads(environment(container, newer, SECRETS)["MIMAMORI_KAFKA"]).keys() == {
        "group.instance.id"
    }
    # Nobody but the workers is a member of their group.
    assert "group.instance.id" not in repr(pod_of(render("static-strimzi"), "review"))


def test_review_desk_is_never_doubled(render: Renderer) -> None:
    manifests = render("default")
    desk = of_kind(manifests, "Deployment", "review")["spec"]
    assert (desk["replicas"], desk["strategy"]) == (1, {"type": "Recreate"})
    claim = of_kind(manifests, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    names = [
        volume.get("persistentVolumeClaim", {}).get("claimName")
        for volume in desk["template"]["spec"]["volumes"]
    ]
    assert claim["metadata"]["name"] in names
    assert all_of_kind(render("cpu"), "PersistentVolumeClaim") == []


def test_topics_are_made_before_the_workers(render: Renderer) -> None:
    job = of_kind(render("cpu"), "Job", "topics")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert "envFrom" not in container  # no ConfigMap of the release exists yet
    assert container["args"] == ["topics", "apply", "--partitions-override=24", "--replication-factor=3"]


def test_switched_off_leaves_nothing_behind(render: Renderer) -> None:
    manifests = render("worker-only")
    assert {component_of(item) for item in manifests} == {"worker", "test"}
    assert all_of_kind(manifests, "PodDisruptionBudget") == []


def test_disruption_budget_lets_a_node_be_drained(render: Renderer) -> None:
    budget = of_kind(render("default"), "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("profile", PROFILES)
def test_selectors_find_their_pods_and_no_others(render: Renderer, profile: str) -> None:
    manifests = render(profile)
    labels = {
        component_of(item): item["spec"]["template"]["metadata"]["labels"]
        for item in manifests
        if item["kind"] in {"Deployment", "StatefulSet"}
    }
    for item in manifests:
        selector = item.get("spec", {}).get("selector", {})
        wanted = selector.get("matchLabels", selector if item["kind"] == "Service" else None)
        if wanted and item["kind"] != "PodMonitor":
            found = [name for name, have in labels.items() if wanted.items() <= have.items()]
            assert found == [component_of(item)]
