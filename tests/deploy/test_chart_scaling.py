"""GPUs, and KEDA: what is rendered is what was asked for, to the letter."""

from tests.deploy.chart import Renderer, all_of_kind, of_kind, pod_of


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
    (trigger,) = scaled["triggers"]
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
    manifests = render("default", "worker.autoscaling.enabled=true")
    assert all_of_kind(manifests, "TriggerAuthentication") == []
    assert "authenticationRef" not in of_kind(manifests, "ScaledObject")["spec"]["triggers"][0]
