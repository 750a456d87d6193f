"""GPUs, KEDA and the autoscaler of Kubernetes: what is rendered is what was asked for, to the letter."""

import json

import pytest

from ops.expressions import faults
from tests.deploy.chart import CHART, Renderer, all_of_kind, of_kind, pod_of
from tests.deploy.toolbox import Toolbox


def test_gpu_worker_gets_what_was_asked_for(render: Renderer) -> None:
    manifests = render("gpu-keda")
    pod = pod_of(manifests, "worker")
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    assert container["image"].endswith("@sha256:" + "2" * 64)
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["priorityClassName"] == "streaming"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "A100-SXM4-80GB"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    (spread,) = pod["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"
    assert of_kind(manifests, "Deployment", "worker")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 0,
        "maxUnavailable": 1,
    }
    (desk,) = pod_of(manifests, "review")["containers"]
    assert desk["image"].endswith("@sha256:" + "1" * 64)
    assert desk["resources"]["limits"].keys() == {"memory"}


def test_a_rollout_waits_until_a_new_worker_has_been_ready_for_a_while(render: Renderer) -> None:
    for given, seconds in (([], 3), (["worker.minReadySeconds=0"], 0), (["worker.minReadySeconds=30"], 30)):
        assert of_kind(render("cpu", *given), "Deployment", "worker")["spec"]["minReadySeconds"] == seconds


def test_gpu_image_has_its_own_tag(render: Renderer) -> None:
    changed = ['image.digests={"cpu":"","gpu":""}']
    (worker,) = pod_of(render("gpu-keda", *changed), "worker")["containers"]
    (desk,) = pod_of(render("gpu-keda", *changed), "review")["containers"]
    assert worker["image"].endswith(":0.1.0-gpu")
    assert desk["image"].endswith(":0.1.0-cpu")


def test_keda_owns_the_replicas(render: Renderer) -> None:
    assert of_kind(render("default"), "Deployment", "worker")["spec"]["replicas"] == 2
    assert all_of_kind(render("default"), "ScaledObject") == []
    manifests = render("keda-sasl")
    deployment = of_kind(manifests, "Deployment", "worker")
    assert "replicas" not in deployment["spec"]
    scaled = of_kind(manifests, "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaled["maxReplicaCount"] == 6
    assert scaled["fallback"] == {"failureThreshold": 4, "replicas": 3}
    trigger, _ = scaled["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"] == {
        "bootstrapServers": "kafka.streaming.svc:9092",
        "consumerGroup": "mimamori",
        "topic": "mimamori.messages",
        "lagThreshold": "2000",
        "activationLagThreshold": "50",
        "offsetResetPolicy": "earliest",
        "allowIdleConsumers": "false",
        "version": "2.8.0",
        "sasl": "scram_sha512",
    }
    authentication = of_kind(manifests, "TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert authentication["spec"]["secretTargetRef"] == [
        {"parameter": "password", "name": "mimamori-kafka-scaler", "key": "password"},
        {"parameter": "username", "name": "mimamori-kafka-scaler", "key": "username"},
    ]


def test_helm_test_asks_for_no_worker_where_keda_may_have_stopped_the_last(render: Renderer) -> None:
    """Seen on a control plane: where nothing waited, no worker ran, and `helm test` failed."""
    worker = "http://watch-mimamori-worker:8080/readyz"
    asked = of_kind(render("keda-sasl"), "Pod", "test")["spec"]["containers"][0]["args"]
    assert worker in asked
    none = render("keda-sasl", "worker.autoscaling.minReplicas=0")
    args = of_kind(none, "Pod", "test")["spec"]["containers"][0]["args"]
    assert args == [asked[0], *(url for url in asked[1:] if url != worker)]


def test_keda_speaks_mutual_tls(render: Renderer) -> None:
    manifests = render("gpu-keda")
    (trigger,) = of_kind(manifests, "ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"]["tls"] == "enable"
    assert "sasl" not in trigger["metadata"]
    targets = of_kind(manifests, "TriggerAuthentication")["spec"]["secretTargetRef"]
    assert {target["parameter"]: target["key"] for target in targets} == {
        "ca": "ca.crt",
        "cert": "user.crt",
        "key": "user.key",
        "keyPassword": "key-passphrase",
    }


def test_keda_needs_no_authentication_without_credentials(render: Renderer) -> None:
    manifests = render("worker-only", "worker.autoscaling.enabled=true")
    assert all_of_kind(manifests, "TriggerAuthentication") == []
    assert "authenticationRef" not in of_kind(manifests, "ScaledObject")["spec"]["triggers"][0]


def test_seconds_of_work_scale_beside_the_lag(render: Renderer) -> None:
    manifests = render("keda-sasl")
    lag, work = of_kind(manifests, "ScaledObject")["spec"]["triggers"]
    assert (lag["type"], work["type"]) == ("kafka", "prometheus")
    assert work["metadata"] == {
        "serverAddress": "http://prometheus.monitoring:9090",
        "query": 'sum(mimamori_work_seconds{job="mimamori"})',
        "threshold": "20",
        "activationThreshold": "2",
        "ignoreNullValues": "true",
    }
    assert list(faults(work["metadata"]["query"])) == []
    assert "authenticationRef" not in work
    with_access = render(
        "keda-sasl",
        'worker.autoscaling.secondsOfWork.authenticationRef="of-prometheus"',
        'worker.autoscaling.secondsOfWork.authModes="bearer"',
        'worker.autoscaling.secondsOfWork.prometheus="https://prometheus.monitoring:9090"',
        'prometheusRule.job=""',
        "podMonitor.enabled=true",
        "networkPolicy.enabled=false",
    )
    _, work = of_kind(with_access, "ScaledObject")["spec"]["triggers"]
    assert work["authenticationRef"] == {"name": "of-prometheus"}
    assert work["metadata"]["authModes"] == "bearer"
    assert 'job="safety/watch-mimamori"' in work["metadata"]["query"]


def test_the_autoscaler_of_kubernetes_owns_the_replicas(render: Renderer) -> None:
    manifests = render("hpa-fetch")
    deployment = of_kind(manifests, "Deployment", "worker")
    assert "replicas" not in deployment["spec"]
    scaler = of_kind(manifests, "HorizontalPodAutoscaler", "worker")["spec"]
    assert scaler["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 8)
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert scaler["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 75},
    }
    own = {
        "type": "Pods",
        "pods": {
            "metric": {"name": "mimamori_work_seconds"},
            "target": {"type": "AverageValue", "averageValue": "30"},
        },
    }
    on_gpus = render(
        "hpa-fetch",
        f"worker.hpa.metrics={json.dumps([own])}",
        'worker.device="cuda"',
        "worker.gpu.enabled=true",
    )
    assert of_kind(on_gpus, "HorizontalPodAutoscaler", "worker")["spec"]["metrics"] == [own]
    assert all_of_kind(render("default"), "HorizontalPodAutoscaler") == []


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("default", ["2 workers.", "deployment/watch-mimamori-worker"]),
        ("worker-only", ["1 workers.", "Kafka in plain text, as allowInsecure accepts"]),
        ("keda-sasl", ["1 to 6 workers by lag and seconds of work (KEDA)."]),
        ("hpa-fetch", ["2 to 8 workers by CPU (HorizontalPodAutoscaler)."]),
        (
            "static-strimzi",
            ["through a restart of less than 90 s.", "statefulset/watch-mimamori-worker", "get kafkatopics"],
        ),
    ],
)
def test_the_notes_say_what_was_installed(toolbox: Toolbox, profile: str, said: list[str]) -> None:
    values = CHART / "ci" / f"{profile}-values.yaml"
    notes = toolbox.helm("install", "watch", CHART, "--dry-run=client", "--values", values).stdout
    notes = notes.partition("NOTES:")[2]
    assert [words for words in said if words not in notes] == []
    assert ("plain text" in notes) == (profile in {"keda-sasl", "worker-only"})


def test_the_notes_name_the_brokers_session_where_it_is_the_brokers(toolbox: Toolbox) -> None:
    values = CHART / "ci" / "static-strimzi-values.yaml"
    protocol = "worker.settings.group_protocol=consumer"
    notes = toolbox.helm(
        "install", "w", CHART, "--dry-run=client", "--values", values, "--set", protocol
    ).stdout
    assert "less than the brokers' session time (group.consumer.session.timeout.ms)" in notes
    assert "90 s" not in notes
    assert "--entity-name mimamori --add-config consumer.heartbeat.interval.ms=500" in notes
    classic = toolbox.helm("install", "w", CHART, "--dry-run=client", "--values", values).stdout
    assert "heartbeat" not in classic
